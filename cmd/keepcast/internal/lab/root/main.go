// Command root makes the Debian 13 root directory whose daemons the lab's tests
// use when KEEPCAST_LAB_ROOT names it:
//
//	go run ./cmd/keepcast/internal/lab/root /var/lib/keepcast-lab/trixie
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/lab"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: root DIRECTORY")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := lab.MakeRoot(ctx, os.Args[1], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "root:", err)
		os.Exit(1)
	}
}
