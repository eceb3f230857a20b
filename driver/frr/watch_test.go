package frr

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// The directory may be missing, come, go and come again; a daemon that answers
// from the start is no news, one that is missing then, goes or comes is.
func TestFRRWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "frr")
	f := testFRR(dir, "bgpd")
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Watch(ctx, func() { told.Add(1) }) }()
	ok := func(string) string { return drivertest.VtyDone }

	frrUntil(t, "told that bgpd is missing", func() bool { return told.Load() > 0 })
	for range 2 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		told.Store(0)
		bgpd := drivertest.NewVtyServer(t, filepath.Join(dir, "bgpd.vty"), ok)
		frrUntil(t, "told that bgpd is there", func() bool {
			return strings.Contains(bgpd.Received(), "show running-config") && told.Load() > 0
		})
		told.Store(0)
		bgpd.Stop()
		frrUntil(t, "told that bgpd is gone", func() bool { return told.Load() > 0 })
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("watch ended with %v", err)
	}
}

func TestFRRWatchNoNews(t *testing.T) {
	dir := t.TempDir()
	bgpd := drivertest.NewVtyServer(t, filepath.Join(dir, "bgpd.vty"), func(string) string { return drivertest.VtyDone })
	f := testFRR(dir, "bgpd")
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Watch(ctx, func() { told.Add(1) }) }()
	frrUntil(t, "the watch is in place", bgpd.Connected)
	cancel()
	if err := <-ended; err != nil || told.Load() != 0 {
		t.Errorf("a daemon that was there: told %d times, %v", told.Load(), err)
	}
}

// What keepcast looks at in a running configuration, and what may change unnoticed.
func TestFRRMatter(t *testing.T) {
	const before = "frr version 8.4.4\nrouter bgp 65001\n neighbor 10.99.0.2 remote-as 65002\n address-family ipv4 unicast\n  network 192.0.2.53/32 route-map KEEPCAST-ANNOUNCED\n exit-address-family\nexit\n" +
		"ip prefix-list KEEPCAST seq 5 permit 192.0.2.53/32\nroute-map KEEPCAST permit 65535\n match ip address prefix-list KEEPCAST\nexit\nend\n"
	for name, tc := range map[string]struct {
		old, new string
		news     bool
	}{
		"nothing":                {"", "", false},
		"a neighbor":             {" neighbor 10.99.0.2 remote-as 65002\n", "", false},
		"a network line":         {"  network 192.0.2.53/32 route-map KEEPCAST-ANNOUNCED\n", "", true},
		"its route-map":          {" route-map KEEPCAST-ANNOUNCED", "", true},
		"an entry of a list":     {"ip prefix-list KEEPCAST seq 5 permit", "ip prefix-list KEEPCAST seq 5 deny", true},
		"a line of a route-map":  {" match ip address prefix-list KEEPCAST\n", "", true},
		"a set line in it":       {" match ip address prefix-list KEEPCAST\n", " match ip address prefix-list KEEPCAST\n set metric 5\n", true},
		"an empty router bgp":    {"end\n", "router bgp 65002 vrf RED\nexit\nend\n", true},
		"a list of the operator": {"end\n", "ip prefix-list MINE seq 5 permit any\nend\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			after := strings.Replace(before, tc.old, tc.new, 1)
			if news := ownLines(before) != ownLines(after); news != tc.news {
				t.Errorf("news: %t\n%s", news, ownLines(after))
			}
		})
	}
}

// Somebody takes lines away in vtysh, as `systemctl reload frr` does: Watch tells,
// and Apply puts them back.
func TestFRRRealTakenAway(t *testing.T) {
	for daemon, lines := range map[string][]string{
		"bgpd":  {"router bgp 65001", "address-family ipv4 unicast", "no network " + frr4 + " route-map KEEPCAST-ANNOUNCED"},
		"ospfd": {"no ip prefix-list KEEPCAST"},
		"ripd":  {"no route-map KEEPCAST"}, // by way of mgmtd in FRR 10
	} {
		t.Run(daemon, func(t *testing.T) {
			r := newRealFRR(t, daemon)
			r.addr("add", frr4)
			want := frrState(frrRouteOf(frr4, driver.Announced, false))
			f := testFRR(r.dir, daemon)
			defer f.Close()
			if err := f.Apply(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			before := ownLines(r.ask(r.configuredBy(daemon), "show running-config"))
			proxy := newFRRProxy(t, r.dir, daemon, mgmtdName)
			watch := testFRR(proxy.dir, daemon)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				// As the engine does: again, where mgmtd is still at work for the other.
				repair := func() {
					for ctx.Err() == nil && f.Apply(ctx, want) != nil {
					}
				}
				if err := watch.Watch(ctx, repair); err != nil { // its work is seen below
					t.Errorf("watch: %v", err)
				}
			})
			defer wg.Wait()
			defer cancel()
			// What changes before the watch has asked is no news to it.
			frrUntil(t, "the watch asks", func() bool { return proxy.questions() > 0 })
			for range 2 {
				r.ask(r.configuredBy(daemon), slices.Concat([]string{"configure terminal"}, lines, []string{"end"})...)
				frrUntil(t, "all is back", func() bool { return ownLines(r.ask(r.configuredBy(daemon), "show running-config")) == before })
				before := proxy.questions()
				frrUntil(t, "the watch has asked again", func() bool { return proxy.questions() > before })
			}
		})
	}
}

// The same in Quagga; once it is put right, that is no news for ever.
func TestQuaggaTakenAway(t *testing.T) {
	dir := t.TempDir()
	ospfd := newFakeQuagga(t, dir, "ospfd", "router ospf", "redistribute connected route-map KEEPCAST")
	q := testQuagga(dir, "ospfd")
	defer q.Close()
	want := frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}))
	quaggaApply(t, q, want.Routes...)
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = q.Watch(ctx, func() { told.Add(1); _ = q.Apply(ctx, want) }) // seen below
	})
	defer wg.Wait()
	defer cancel()
	asked := func(more int) {
		t.Helper()
		before := ospfd.questions()
		frrUntil(t, "asks", func() bool { return ospfd.questions() >= before+more })
	}
	asked(1)
	ospfd.take()
	frrUntil(t, "the lists are back", func() bool { return ospfd.passes("KEEPCAST", frr4) == "permit" && told.Load() > 0 })
	asked(4) // Apply asks twice itself, and its change may be one more piece of news
	told.Store(0)
	ospfd.taken()
	asked(3)
	if sent := ospfd.taken(); told.Load() != 0 || len(sent) > 0 {
		t.Errorf("nothing changed any more: told %d times, sent %q", told.Load(), sent)
	}
}

// take takes the lists away.
func (f *fakeQuagga) take() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists = nil
}

func (f *fakeQuagga) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}
