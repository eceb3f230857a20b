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
	"github.com/keepcast/keepcast/driver"
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
		if err := os.WriteFile(savedFile(cfg.RuntimeDir), []byte(`{"services": [`), 0o600); err != nil {
			t.Fatal(err)
		}
		b.driver.fail = errDead
		_, err := b.failSafe(cfg)
		want := "saved state: " + savedFile(cfg.RuntimeDir) + ": unexpected end of JSON input (going by the configuration and the kernel alone)\n" +
			"bird: connection refused"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		b.wantKernel(address, driver.Absent)
		b.wantKernel(forgotten, driver.Absent)
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
