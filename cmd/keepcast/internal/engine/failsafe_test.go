package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// failSafe withdraws all by cfg, as the fail-safe unit does.
func (b *harness) failSafe(cfg *config.Config) (said string, err error) {
	b.t.Helper()
	var text strings.Builder
	f := FailSafe{
		Config: cfg, Kernel: b.kernel, Linger: 10 * time.Second,
		Tell: func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) },
	}
	err = f.WithdrawAll(context.Background())
	return text.String(), err
}

// forgotten is delivered locally, and no file says why.
const forgotten = "198.51.100.1/32"

// crashed leaves two announced services, one of which the configuration has not
// any more, and a route that nobody remembers.
func crashed(t *testing.T, then func(b *harness, cfg *config.Config)) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	b.keep = true
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.end()
		b.kernel.take()
		b.kernel.set(func() { b.kernel.have[netip.MustParsePrefix(forgotten)] = driver.Delivered })
		cfg := *b.cfg
		cfg.Services = cfg.Services[:1]
		then(b, &cfg)
	})
}

func TestFailSafe(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		said, err := b.failSafe(cfg)
		if err != nil {
			t.Error(err)
		}
		want := []string{
			"kernel delivered 192.0.2.53/32", "kernel delivered 192.0.2.54/32", "bird",
			"kernel absent 192.0.2.53/32", "kernel absent 192.0.2.54/32", "kernel absent " + forgotten,
		}
		if diff := cmp.Diff(want, b.kernel.take()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(`kernel: no address is on an interface any more
bird: the gate is closed
delivering locally what still arrives, for 10s
kernel: nothing of keepcast is left
`, said); diff != "" {
			t.Error(diff)
		}
	})
}

// What can't be done is named, and holds up nothing else.
func TestFailSafeWithFaults(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		path := stateDocument(cfg.RuntimeDir).Path
		drivertest.WriteFile(t, path, `{"services": [`)
		drivertest.WriteFile(t, store.CopyOf(path), `{"services": [`)
		b.driver.fail = errDead
		_, err := b.failSafe(cfg)
		want := "saved state: " + path + ": is cut off or damaged (unexpected end of JSON input); its copy " + path + ".copy: is cut off or damaged (unexpected end of JSON input); " +
			"the next save puts what is there aside as " + path + ".bad (going by the configuration and the kernel alone)\nbird: connection refused"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		b.wantKernel(address, driver.Absent)
		b.wantKernel(forgotten, driver.Absent)
	})
}

// A state that is damaged has its copy used: also what the configuration has not any more
// is withdrawn then.
func TestFailSafeByTheCopy(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		path := stateDocument(cfg.RuntimeDir).Path
		drivertest.WriteFile(t, path, "")
		said, err := b.failSafe(cfg)
		if want := "saved state: " + path + ": is empty: its copy " + path + ".copy is used; "; err != nil || !strings.HasPrefix(said, want) {
			t.Errorf("said %s, %v", said, err)
		}
		b.wantKernel("192.0.2.54/32", driver.Absent)
	})
}

// A daemon that hangs is given up.
func TestFailSafeWithHangingDaemon(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		b.driver.hang = true
		if _, err := b.failSafe(cfg); err == nil || err.Error() != "bird: context deadline exceeded" {
			t.Error(err)
		}
		b.wantKernel(address, driver.Absent)
		b.wantKernel("192.0.2.54/32", driver.Absent)
	})
}

// stopped fails whatever comes after the end of its context.
type stopped struct {
	*fakeKernel
	daemon *fakeDriver
}

func (s stopped) Shrink(ctx context.Context, desired driver.State) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeKernel.Shrink(ctx, desired)
}

func (s stopped) Apply(ctx context.Context, desired driver.State) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.daemon.Apply(ctx, desired)
}

// The end of the context cuts linger short, and nothing else.
func TestFailSafeIsCutShort(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		s := stopped{b.kernel, b.driver}
		cfg.Drivers = []config.Driver{{Name: "bird", Driver: s}}
		ctx, stop := context.WithCancel(context.Background())
		stop()
		begun := time.Now()
		err := FailSafe{Config: cfg, Kernel: s, Linger: time.Hour, Tell: func(string, ...any) {}}.WithdrawAll(ctx)
		if took := time.Since(begun); err != nil || took > 0 {
			t.Errorf("it took %s: %v", took, err)
		}
		want := []string{
			"kernel delivered 192.0.2.53/32", "kernel delivered 192.0.2.54/32", "bird",
			"kernel absent 192.0.2.53/32", "kernel absent 192.0.2.54/32", "kernel absent " + forgotten,
		}
		if diff := cmp.Diff(want, b.kernel.take()); diff != "" {
			t.Error(diff)
		}
	})
}

// Local delivery goes on for linger, and no longer.
func TestFailSafeLingers(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		begun, done := time.Now(), make(chan struct{})
		go func() {
			defer close(done)
			if _, err := b.failSafe(cfg); err != nil {
				t.Error(err)
			}
		}()
		later(10*time.Second - 1)
		b.wantKernel(address, driver.Delivered)
		<-done
		b.wantKernel(address, driver.Absent)
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// The fail-safe withdraws what is configured, what is saved, and what was leaving, each
// once.
func TestFailSafeRoutes(t *testing.T) {
	prefix := netip.MustParsePrefix
	b := newHarness(t)
	b.service("dns", address).Prefixes = []config.Prefix{{Prefix: prefix("203.0.113.0/24")}}
	last := saved{
		Services: []savedService{
			{Name: "dns", Addresses: []netip.Prefix{prefix(address)}, Prefixes: []netip.Prefix{prefix("203.0.113.0/24")}},
			{Name: "ldap", Addresses: []netip.Prefix{prefix(address)}, Interface: "old0", Prefixes: []netip.Prefix{prefix("198.51.100.0/24")}},
		},
		Leaving: []leaving{{Service: "web", Prefix: prefix("192.0.2.55/32"), Interface: "web0"}, {Service: "web", Prefix: prefix("192.0.2.0/24"), PrefixOnly: true}},
	}
	want := driver.State{Interface: "anycast0", Routes: []driver.Route{
		{Service: "dns", Prefix: prefix(address), Presence: driver.Delivered},
		{Service: "dns", Prefix: prefix("203.0.113.0/24"), PrefixOnly: true},
		{Service: "web", Prefix: prefix("192.0.2.55/32"), Interface: "web0", Presence: driver.Delivered},
		{Service: "web", Prefix: prefix("192.0.2.0/24"), PrefixOnly: true},
		{Service: "ldap", Prefix: prefix(address), Interface: "old0", Presence: driver.Delivered},
		{Service: "ldap", Prefix: prefix("198.51.100.0/24"), PrefixOnly: true},
	}}
	got := FailSafe{Config: b.cfg}.routes(last, driver.Delivered)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// With the wrong --config and no saved state, "nothing of keepcast is left" was said of a
// host that announced everything: what can't be known is not claimed, and is an error.
func TestFailSafeKnowsNothing(t *testing.T) {
	crashed(t, func(b *harness, cfg *config.Config) {
		cfg.Services, cfg.Drivers, cfg.RuntimeDir = nil, nil, t.TempDir()
		b.kernel.set(func() {
			for _, more := range []string{"192.0.2.60/32", "192.0.2.61/32", "192.0.2.62/32", "192.0.2.63/32"} {
				b.kernel.have[netip.MustParsePrefix(more)] = driver.Announced
			}
		})
		said, err := b.failSafe(cfg)
		const unknown = "what keepcast announced is not known: no configuration and no saved state can be read (name them with --config and --runtime-directory)"
		want := unknown + `; on anycast0 there still is 192.0.2.53/32, 192.0.2.54/32, 192.0.2.60/32, 192.0.2.61/32, 192.0.2.62/32, 192.0.2.63/32, which "ip address del ADDRESS dev anycast0" takes off`
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if want := "kernel: nothing is left that is marked as keepcast's; addresses have no mark\n"; said != want {
			t.Errorf("got %s, want %s", said, want)
		}
		b.wantKernel(forgotten, driver.Absent)
		b.kernel.set(func() { clear(b.kernel.have) })
		if _, err := b.failSafe(cfg); err == nil || err.Error() != unknown+"; no address is on anycast0" {
			t.Errorf("got %v", err)
		}
		if err := (FailSafe{Config: cfg}).WithdrawAll(context.Background()); err == nil || err.Error() != unknown {
			t.Errorf("got %v", err)
		}
		b.kernel.set(func() { b.kernel.mute = errDead })
		want = unknown + ", and the kernel can't be asked: connection refused"
		if _, err := b.failSafe(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

// The saved state of a directory that others may write is not believed: as root, keepcast
// withdraw-all took any address that it named off any interface.
func TestFailSafeTrustsNoStranger(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	stranger := netip.MustParsePrefix("192.0.2.99/32")
	if err := stateDocument(b.cfg.RuntimeDir).Save(saved{Leaving: []leaving{{Prefix: stranger}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.cfg.RuntimeDir, 0o777); err != nil {
		t.Fatal(err)
	}
	b.kernel.have[stranger] = driver.Announced
	f := FailSafe{Config: b.cfg, Kernel: b.kernel, Tell: t.Logf}
	want := "saved state not believed: " + b.cfg.RuntimeDir + ": "
	if err := f.WithdrawAll(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if b.kernel.is(stranger.String()) != driver.Announced {
		t.Error("an address that a stranger named is gone")
	}
}

// What the kernel has let go of is somebody else's by now.
func TestFailSafeLeavesWhatIsOff(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	used := netip.MustParsePrefix("192.0.2.99/32")
	if err := stateDocument(b.cfg.RuntimeDir).Save(saved{Leaving: []leaving{{Prefix: used, Off: true}}}); err != nil {
		t.Fatal(err)
	}
	b.kernel.have[used] = driver.Announced
	if err := (FailSafe{Config: b.cfg, Kernel: b.kernel, Tell: t.Logf}).WithdrawAll(t.Context()); err != nil {
		t.Error(err)
	}
	if b.kernel.is(used.String()) != driver.Announced {
		t.Error("it is taken off")
	}
}
