// Command demo shows keepcast at work: two hosts announce a DNS service over BGP
// while a client asks it. The service on one host dies and comes back, the other
// host is drained and resumed. It prints what happened, what keepcast decided,
// when the router moved and which requests were lost, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/lab"
)

func main() {
	keepcast := flag.String("keepcast", "", "path of the keepcast binary (required)")
	daemon := flag.String("daemon", lab.BIRD, "routing daemon of the hosts and the router: bird or frr")
	root := flag.String("root", "", "root directory of another Debian whose routing daemons are used")
	rate := flag.Float64("rate", 50, "requests a second, on each of the client's six flows")
	flag.Parse()
	path, err := filepath.Abs(*keepcast)
	if *keepcast == "" || err != nil || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = run(ctx, os.Stdout, lab.Options{Daemon: *daemon, Protocol: lab.BGP, Sticky: true, Root: *root, Keepcast: path}, *rate)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything is removed again")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run sets up the lab, plays all scenes and removes the lab, whatever happens.
func run(ctx context.Context, out *os.File, o lab.Options, rate float64) (err error) {
	if err := o.Missing(); err != nil {
		return err
	}
	fmt.Fprintf(out, "Setting up hosts a and b, router r and client c, with %s over BGP ...\n", o.Daemon)
	l, err := lab.New(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	t := newTimeline(out)
	d := &demo{lab: l, timeline: t, daemon: o.Daemon, rate: rate}
	return d.play(ctx)
}
