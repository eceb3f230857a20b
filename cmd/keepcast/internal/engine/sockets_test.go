package engine

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A service is withdrawn as soon as it stops listening, however rarely it is asked and
// however often it may fail. This is in real time, since the kernel tells of it.
func TestStopsListening(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	watch := sockets.New(func(netip.Addr) error { return nil })
	ctx, stop := context.WithCancel(context.Background())
	watched := make(chan error)
	go func() { watched <- watch.Run(ctx) }()
	defer func() { stop(); <-watched }()

	b := newHarness(t)
	b.options = func(o *Options) { o.Sockets = watch }
	s := b.service("dns", address, &checks.TCP{Address: server.Addr().String()})
	s.Checks[0].Interval, s.Checks[0].Timeout, s.Checks[0].Rise, s.Checks[0].Fall = time.Hour, time.Minute, 1, 1000
	s.Linger = 0
	b.start()
	is := func(want api.State) func() bool {
		return func() bool {
			status, err := b.engine.Status()
			return err == nil && len(status.Services) == 1 && status.Services[0].Desired == want
		}
	}
	drivertest.Eventually(t, "the service is announced", is(api.Announced))
	// It is learned right after the result was told who listens.
	follows := func() bool { return watch.Followed() == 1 }
	drivertest.Eventually(t, "it is known who listens", follows)
	server.Close()
	drivertest.Eventually(t, "the service is withdrawn", is(api.Withdrawn))
	b.end()
	if n := watch.Followed(); n != 0 {
		t.Errorf("%d are followed after the end", n)
	}
}
