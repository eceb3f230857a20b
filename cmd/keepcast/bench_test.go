package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/kernel"
	"github.com/keepcast/keepcast/driver/pace"
)

// moved in the environment tells that the process is in a network namespace of its own.
const moved = "KEEPCAST_BENCH_MOVED"

// moveBenchmarks has root's benchmarks run in a network namespace of their own. The engine
// works on many threads, and a program can't move them all. So it moves one of them, and
// starts anew from there.
func moveBenchmarks() {
	asked := func(arg string) bool {
		pattern, ok := strings.CutPrefix(arg, "-test.bench=")
		return ok && pattern != ""
	}
	if !slices.ContainsFunc(os.Args, asked) || os.Geteuid() != 0 || os.Getenv(moved) != "" {
		return
	}
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		err = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), moved+"=1"))
	}
	fmt.Fprintln(os.Stderr, "a network namespace for the benchmarks:", err)
	os.Exit(1)
}

// BenchmarkVerdict measures the whole way from the verdict of a check to the notice of the
// kernel that the address is off the interface, or on it. Routing daemons go by that
// notice. The kernel alone is measured beside it: it gets the same messages at once.
func BenchmarkVerdict(b *testing.B) {
	for _, services := range []int{1, 1000} {
		for _, prefix := range []string{"192.0.2.53/32", "2001:db8:53::53/128"} {
			for measured, name := range []string{"withdraws", "announces"} {
				p := netip.MustParsePrefix(prefix)
				b.Run(fmt.Sprintf("%s %s of %d services", name, p.Addr(), services), func(b *testing.B) {
					w := newWay(b, p, services, stall{})
					var whole, alone [2]time.Duration
					for b.Loop() {
						for i, up := range []bool{false, true} {
							whole[i] += w.verdict(up)
							alone[i] += w.alone(up)
						}
					}
					b.ReportMetric(float64(whole[measured])/float64(b.N), "ns/op")
					b.ReportMetric(float64(alone[measured])/float64(b.N), "kernel-ns/op")
					b.ReportMetric(float64(alone[measured])/float64(whole[measured]), "kernel-share")
				})
			}
		}
	}
}

// way is what a verdict goes by: a check that is told what to find, the real engine with
// its reconciler, and the real kernel. No routing daemon is on it.
type way struct {
	b       *testing.B
	check   toldCheck
	kernel  calmKernel
	engine  *engine.Engine
	netlink *netlink.Handle
	link    netlink.Link
	notices *nl.NetlinkSocket
	managed netip.Prefix // the address of the service
	beside  netip.Prefix // the next address, which keepcast does not manage
}

func newWay(b *testing.B, p netip.Prefix, services int, s stall) *way {
	b.Helper()
	w := &way{b: b, check: toldCheck{make(chan struct{}), make(chan error)}, managed: p, beside: netip.PrefixFrom(p.Addr().Next(), p.Bits())}
	w.open()
	cfg := w.config(services)
	w.kernel = calmKernel{kernel.New(cfg.Interface, slog.New(slog.DiscardHandler)), pace.NewBell()}
	opts := engine.Options{
		Kernel: w.kernel, Local: w.kernel.Local, VRF: w.kernel.VRF, Log: slog.New(slog.DiscardHandler),
		Metrics: engine.NewMetrics(prometheus.NewRegistry()), Alive: func() {}, Ready: func() {},
		Withdraw: func(context.Context, string) bool { return false },
	}
	s.hang(w, cfg, &opts)
	w.engine = engine.New(cfg, opts)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.engine.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		w.must(<-ended)
	})
	for range s.clients {
		go w.ask(ctx)
	}
	<-w.check.asked
	w.check.finds <- nil
	w.awaitAnnounced()
	var err error
	w.notices, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	w.must(err)
	b.Cleanup(w.notices.Close)
	w.must(w.notices.SetReceiveTimeout(&unix.Timeval{Sec: 20}))
	w.alone(true)
	return w
}

// open makes the interface, and opens the sockets.
func (w *way) open() {
	w.b.Helper()
	if os.Getenv(moved) == "" {
		drivertest.Missing(w.b, "needs root") // see moveBenchmarks
	}
	var err error
	w.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	w.must(err)
	w.b.Cleanup(w.netlink.Close)
	lo, err := w.netlink.LinkByName("lo")
	w.must(err)
	w.must(w.netlink.LinkSetUp(lo))
	w.link = &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "any0"}} // stands in for a dummy where the kernel has none
	w.must(w.netlink.LinkAdd(w.link))
	w.b.Cleanup(func() { w.must(w.netlink.LinkDel(w.link)) })
	w.must(w.netlink.LinkSetUp(w.link))
}

// config is a configuration of services with two addresses each; only the first, which is
// measured, has one.
func (w *way) config(services int) *config.Config {
	w.b.Helper()
	memory, err := os.MkdirTemp("/dev/shm", "keepcast-bench-") // as /run is
	w.must(err)
	w.b.Cleanup(func() { w.must(os.RemoveAll(memory)) })
	cfg := &config.Config{}
	cfg.Interface, cfg.ManageAddresses, cfg.RuntimeDir, cfg.StateDir = "any0", true, memory, memory
	v4, v6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8::1")
	for i := range services {
		s := config.Service{Name: fmt.Sprint("service", i), Addresses: []config.Address{{Prefix: netip.PrefixFrom(v4, 32)}, {Prefix: netip.PrefixFrom(v6, 128)}}}
		s.Linger, s.WhileWithdrawn = 10*time.Second, "deliver"
		check := config.Check{Name: "fit", Kind: "fake", OnFailure: "withdraw", Checker: fitCheck{}}
		check.Schedule = health.Schedule{Interval: time.Hour, FastInterval: time.Hour, Timeout: time.Hour, Rise: 1, Fall: 1}
		if i == 0 {
			s.Addresses = []config.Address{{Prefix: w.managed}}
			check.Checker, check.Interval = w.check, time.Millisecond
		}
		s.Checks = []config.Check{check}
		cfg.Services = append(cfg.Services, s)
		v4, v6 = v4.Next(), v6.Next()
	}
	return cfg
}

// awaitAnnounced waits until all services are on the host.
func (w *way) awaitAnnounced() {
	w.b.Helper()
	missing := func(s api.ServiceStatus) bool {
		return slices.ContainsFunc(s.Addresses, func(a api.AddressStatus) bool { return !a.Observed["kernel"].Present })
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		s, err := w.engine.Status() // an error is that it is still starting
		if err == nil && !slices.ContainsFunc(s.Services, missing) {
			return
		}
		if time.Now().After(deadline) {
			w.b.Fatal("the services are not announced")
		}
	}
}

// verdict returns how long it takes until the kernel has followed a verdict.
func (w *way) verdict(up bool) time.Duration {
	w.b.Helper()
	down := errors.New("connection refused")
	finds := map[bool]error{false: down, true: nil}[up]
	if up { // a run that is under way may have begun before the service went, and prove nothing
		<-w.check.asked
		w.check.finds <- down
	}
	<-w.check.asked
	select {
	case <-w.kernel.observed:
	default:
	}
	took := w.until(w.managed, up, func() { w.check.finds <- finds })
	<-w.kernel.observed // until then the reconciler is busy
	return took
}

// alone returns how long the kernel takes for the same with a bare address.
func (w *way) alone(up bool) time.Duration {
	w.b.Helper()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: w.beside.Addr().AsSlice(), Mask: net.CIDRMask(w.beside.Bits(), w.beside.Addr().BitLen())}, Broadcast: net.IPv4zero}
	if w.beside.Addr().Is6() {
		addr.Flags, addr.ValidLft = unix.IFA_F_NODAD, math.MaxInt32
	}
	delivery := &netlink.Route{Dst: addr.IPNet, LinkIndex: 1, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Protocol: kernel.LocalProtocol - 1, Priority: kernel.LocalMetric}
	if w.beside.Addr().Is4() {
		delivery.Scope = netlink.SCOPE_HOST
	}
	if up {
		defer func() { _ = w.netlink.RouteDel(delivery) }() // the first time there is none
		return w.until(w.beside, up, func() { w.must(w.netlink.AddrAdd(w.link, addr)) })
	}
	return w.until(w.beside, up, func() {
		w.must(w.netlink.RouteAdd(delivery))
		w.must(w.netlink.AddrDel(w.link, addr))
	})
}

// until does something and returns how long it takes until the kernel tells that p is on
// the interface, or off it.
func (w *way) until(p netip.Prefix, up bool, do func()) time.Duration {
	w.b.Helper()
	awaited := map[bool]uint16{false: unix.RTM_DELADDR, true: unix.RTM_NEWADDR}[up]
	start := time.Now()
	do()
	for {
		messages, _, err := w.notices.Receive()
		took := time.Since(start)
		w.must(err)
		for _, m := range messages {
			if m.Header.Type == awaited && bytes.Contains(m.Data, p.Addr().AsSlice()) {
				return took
			}
		}
	}
}

func (w *way) must(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// calmKernel is the kernel without the watch, whose looks at what keepcast itself has
// changed would be in the way of the next verdict. It tells when it has been observed.
type calmKernel struct {
	*kernel.Kernel
	observed pace.Bell
}

func (calmKernel) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (k calmKernel) Observe(ctx context.Context) (driver.State, error) {
	defer k.observed.Ring()
	return k.Kernel.Observe(ctx)
}

// toldCheck asks what to find.
type toldCheck struct {
	asked chan struct{}
	finds chan error
}

func (c toldCheck) Check(ctx context.Context) error {
	select {
	case c.asked <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.finds:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fitCheck always succeeds.
type fitCheck struct{}

func (fitCheck) Check(context.Context) error { return nil }
