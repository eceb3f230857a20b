package lab

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// BenchmarkCrash measures, with BIRD over BGP, the time until a route is gone from the
// router's kernel: from the removal of the address by hand, and from SIGKILL of the service,
// which keepcast has to notice first. One after the other in one run, so that the medians
// compare. The service is small: the kernel closes the sockets of a process once it has
// taken its memory apart, which nobody can notice any earlier.
func BenchmarkCrash(b *testing.B) {
	keepcast := filepath.Join(b.TempDir(), "keepcast")
	if out, err := exec.Command("go", "build", "-o", keepcast, "github.com/keepcast/keepcast/cmd/keepcast").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	ctx, l := start(b, Options{Daemon: BIRD, Protocol: BGP, Keepcast: keepcast})
	s := &stand{t: b, Lab: l, ctx: ctx}
	a := s.Host("a")
	service, err := a.Add(Program{Name: "web", Args: []string{"busybox", "httpd", "-f", "-p", Anycast4.String() + ":80", "-h", a.Dir()}})
	s.must(err)
	daemon, err := a.AddKeepcast(`
drivers: [`+driverOf(a, Options{Daemon: BIRD, Protocol: BGP})+`]
defaults: {rise: 1}
services:
  - name: dns
    addresses: [192.0.2.53]
    checks: [{kind: tcp, address: "192.0.2.53:80"}]
`, nil)
	s.must(err)
	s.must(daemon.Start(ctx))
	on, err := a.nl.LinkByName(Interface)
	s.must(err)
	address, err := netlink.ParseAddr(anycast[0].String())
	s.must(err)
	gone := s.routesGone()

	var byHand, crash []time.Duration
	until := func(act func() error) (took time.Duration, ok bool) {
		s.must(s.Router().AwaitNextHops(ctx, anycast[:1], "a"))
		s.settled("a", "announced") // keepcast has nothing left to do
		for len(gone) > 0 {
			<-gone
		}
		began := time.Now()
		s.must(act())
		select {
		case at := <-gone:
			return at.Sub(began), true
		case <-time.After(5 * time.Second):
			return 0, false
		}
	}
	s.must(service.Start(ctx))
	for b.Loop() {
		took, ok := until(func() error { return a.nl.AddrDel(on, address) }) // keepcast puts it back
		if !ok {
			continue // it did so before BIRD looked
		}
		byHand = append(byHand, took)
		took, ok = until(func() error { return service.Signal(syscall.SIGKILL) })
		if !ok {
			b.Fatalf("the route stays for 5s after the crash; keepcast says %s", s.state("a", "dns"))
		}
		crash = append(crash, took)
		<-service.Done()
		s.must(service.Start(ctx))
	}
	hand, dead := median(byHand), median(crash)
	b.ReportMetric(float64(hand.Microseconds()), "us-by-hand")
	b.ReportMetric(float64(dead.Microseconds()), "us-crash")
	b.ReportMetric(float64(dead)/float64(hand), "ratio")
}

// routesGone tells when the router's kernel sends packets for the first address to nobody.
func (s *stand) routesGone() <-chan time.Time {
	gone, done := make(chan time.Time, 64), make(chan error)
	watching, stop := context.WithCancel(s.ctx)
	go func() {
		done <- s.Router().Watch(watching, anycast[:1], func(e RouteEvent) {
			if len(e.Hosts) == 0 {
				gone <- e.At
			}
		})
	}()
	s.t.Cleanup(func() { stop(); <-done })
	return gone
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
