package engine

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// Without addresses to look after, the gates close and nothing lingers.
func TestFailSafeWithoutKernel(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.driver.have.Routes = []driver.Route{{Prefix: netip.MustParsePrefix(address), Presence: driver.Announced}}
	for _, fail := range []error{errDead, nil} {
		b.driver.fail = fail
		var said []string
		f := FailSafe{Config: b.cfg, Linger: time.Hour, Tell: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
		err := f.WithdrawAll(t.Context())
		if fail != nil {
			if len(said) > 0 || err == nil || err.Error() != "bird: connection refused" {
				t.Errorf("said %v, %v", said, err)
			}
			continue
		}
		if diff := cmp.Diff([]string{"bird: the gate is closed"}, said); diff != "" || err != nil || len(b.driver.have.Announced()) > 0 {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

// There may be nothing to withdraw.
func TestFailSafeWithNothing(t *testing.T) {
	b := newHarness(t)
	said, err := b.failSafe(b.cfg)
	if err != nil {
		t.Error(err)
	}
	const want = "kernel: no address is on an interface any more\nbird: the gate is closed\nkernel: nothing of keepcast is left\n"
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// A kernel that refuses, or can't be asked, is named, and the gates close nevertheless.
func TestFailSafeWithKernelFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fail, mute error
		want, said string
	}{
		"refuses":        {fail: errDead, want: "connection refused\nconnection refused", said: "bird: the gate is closed\n"},
		"can't be asked": {mute: errDead, want: "connection refused", said: "kernel: no address is on an interface any more\nbird: the gate is closed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			crashed(t, func(b *harness, cfg *config.Config) {
				b.kernel.fail, b.kernel.mute = tc.fail, tc.mute
				said, err := b.failSafe(cfg)
				if err == nil || err.Error() != tc.want {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(tc.said+"delivering locally what still arrives, for 10s\n", said); diff != "" {
					t.Error(diff)
				}
				if len(b.driver.have.Announced()) > 0 {
					t.Error("the gate is open")
				}
			})
		})
	}
}

// opened is a daemon that holds a connection open.
type opened struct {
	*fakeDriver
	closed int
	within context.Context // of Apply
}

func (d *opened) Open(driver.Options) {}

func (d *opened) Close() error {
	d.closed++
	return errDead
}

func (d *opened) Apply(ctx context.Context, desired driver.State) error {
	d.within = ctx
	return d.fakeDriver.Apply(ctx, desired)
}

// The fail-safe leaves nothing open behind it, whatever comes of that.
func TestFailSafeCloses(t *testing.T) {
	b := newHarness(t)
	d := &opened{fakeDriver: b.driver}
	b.cfg.Drivers[0].Driver = d
	if _, err := b.failSafe(b.cfg); err != nil {
		t.Error(err)
	}
	if d.closed != 1 || d.within.Err() == nil {
		t.Errorf("closed %d times, its context: %v", d.closed, d.within.Err())
	}
}

// The kernel is asked about the interfaces of all that may be on the host.
func TestFailSafeManagesInterfaces(t *testing.T) {
	for name, last := range map[string]saved{
		"its own":              {Leaving: []leaving{{Prefix: netip.MustParsePrefix(address), Interface: "old0"}}},
		"that of all till now": {Interface: "old0", Leaving: []leaving{{Prefix: netip.MustParsePrefix(address)}}},
	} {
		b := newHarness(t)
		b.saves(last)
		synctest.Test(t, func(t *testing.T) {
			if _, err := b.failSafe(b.cfg); err != nil {
				t.Error(err)
			}
		})
		if len(b.kernel.managed) != 1 || b.kernel.managed[0].Interface != "old0" {
			t.Errorf("%s: asked about %v", name, b.kernel.managed)
		}
	}
}
