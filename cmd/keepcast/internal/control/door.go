package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// door lets clients in to a server. It opens a listener, and opens it anew whenever that
// is lost.
type door struct {
	subject string // in the log
	lost    func(error) driver.Finding
	open    func(context.Context) (net.Listener, error)
	slots   chan struct{} // one for each connection
	server  *http.Server
	log     *slog.Logger
	finding atomic.Pointer[driver.Finding] // while nobody can come in
}

// found returns why nobody can come in; nil while clients can.
func (d *door) found() *driver.Finding { return d.finding.Load() }

// How often what may be lost is looked at, and how long to wait before it is opened anew:
// the shortest and the longest wait.
const (
	lookEvery  = 2 * time.Second
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// serve serves at l, or where that is nil at what it opens, until ctx is done. It fails
// nobody: what can't be opened is tried again, and is a finding until then.
func (d *door) serve(ctx context.Context, l net.Listener) {
	defer d.server.Close() //nolint:errcheck // its listener is gone with it, whatever it says
	for failures := 0; ; {
		var err error
		if l == nil {
			l, err = d.open(ctx)
		}
		if err == nil {
			failures = d.opened(failures)
			err = d.serveAt(ctx, l)
			l = nil
		}
		if ctx.Err() != nil {
			return
		}
		if failures++; failures == 1 {
			f := d.lost(err)
			d.finding.Store(&f)
			d.log.Error(d.subject+": nobody can come in, trying again", "err", err, "fix", f.Fix)
		}
		if !pace.Wait(ctx, pace.Backoff(firstRetry, lastRetry, failures)) {
			return
		}
	}
}

// opened notes that clients can come in (again), and returns that nothing has failed since.
func (d *door) opened(failures int) int {
	if failures > 0 {
		d.finding.Store(nil)
		d.log.Info(d.subject + ": clients can come in now")
	}
	return 0
}

// serveAt serves at l until ctx is done, or l is lost: the error says how. Who still asks
// at the end of ctx is cut off a second later.
func (d *door) serveAt(ctx context.Context, l net.Listener) error {
	in := limit(l, d.slots)
	ended := make(chan error, 1)
	go func() { ended <- d.server.Serve(in) }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = d.server.Shutdown(late) // who still asks now is cut off
			<-ended                     //nolint:errcheck // that of the Shutdown
			return nil
		case err := <-ended:
			return err // the listener is closed: Serve does so
		case <-look.C:
			if f, ok := l.(interface{ there() error }); ok {
				if err := f.there(); err != nil {
					_ = in.Close() // nobody can come in there any more
					<-ended        //nolint:errcheck // that of the Close
					return err
				}
			}
		}
	}
}

// socketLost says that no command gets in.
func socketLost(err error) driver.Finding {
	return driver.Finding{
		Name: "control-socket-lost", Level: driver.LevelWarning, Subject: "control socket",
		Text: "no command gets in: " + err.Error(),
		Fix:  "it is made anew as soon as that is possible; if it stays so, systemctl restart keepcast: a restart moves no route",
	}
}

// notListening says that nobody gets in at the address of the HTTP server.
func notListening(address string) func(error) driver.Finding {
	return func(err error) driver.Finding {
		fix := "it is tried again; correct listen and systemctl restart keepcast if the address is wrong"
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			fix = "it is tried again; see who has the port (ss -tlnp), and end that, or give keepcast another one by listen"
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			fix = "it works as soon as the host has the address; correct listen if that is never"
		case errors.Is(err, syscall.EACCES):
			fix = "a port below 1024 takes CAP_NET_BIND_SERVICE: give keepcast a higher one by listen"
		}
		return driver.Finding{
			Name: "not-listening", Level: driver.LevelWarning, Subject: "listen " + address,
			Text: "no /metrics, /healthz, /readyz and /v1/status there: " + err.Error(), Fix: fix,
		}
	}
}
