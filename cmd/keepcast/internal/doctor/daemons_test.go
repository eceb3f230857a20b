package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// quiet is a daemon of which there is nothing to say.
type quiet struct{}

func (quiet) Observe(context.Context) (driver.State, error) { return driver.State{}, nil }
func (quiet) Apply(context.Context, driver.State) error     { panic("doctor changes nothing") }

// broken can't be asked.
type broken struct{ quiet }

func (broken) Places() driver.Places { return driver.Places{} }

func (broken) Examine(context.Context, driver.State) []driver.Finding {
	return []driver.Finding{driver.Unobserved(errors.New("connection refused"))}
}

// examiner tells what it was asked about, after a while.
type examiner struct {
	quiet
	asked  *driver.State
	closed *bool
}

func (e examiner) Examine(ctx context.Context, want driver.State) []driver.Finding {
	*e.asked = want
	select {
	case <-time.After(10 * time.Second):
		return []driver.Finding{{Name: "session-down", Level: driver.LevelWarning, Text: "x"}, {Name: "gate-unused", Level: driver.LevelError, Subject: "up4", Text: "y"}}
	case <-ctx.Done():
		return []driver.Finding{{Name: "late", Level: driver.LevelError, Text: ctx.Err().Error()}}
	}
}

func (examiner) Places() driver.Places { return driver.Places{} }

func (examiner) Open(driver.Options) {}

func (e examiner) Close() error {
	*e.closed = true
	return nil
}

// stuck answers only when its time is over.
type stuck struct{ quiet }

func (stuck) Places() driver.Places { return driver.Places{} }

func (stuck) Examine(ctx context.Context, _ driver.State) []driver.Finding {
	<-ctx.Done()
	return []driver.Finding{driver.Unobserved(ctx.Err())}
}

func TestDaemons(t *testing.T) {
	cfg := load(t, `
services:
- {name: up, addresses: [192.0.2.53], prefixes: [192.0.2.0/24], checks: [{kind: tcp, address: 'x:1'}]}
- {name: bad, addresses: ['2001:db8:53::53'], checks: [{kind: tcp, address: 'x:1'}]}
- {name: down, addresses: [192.0.2.54], prefixes: [198.51.100.0/24], checks: [{kind: tcp, address: 'x:1'}]}
- {name: else, addresses: [192.0.2.55], drivers: [two], checks: [{kind: tcp, address: 'x:1'}]}
drivers:
- {name: one, kind: bird, socket: /1, snippet: /1.conf}
- {name: two, kind: bird, socket: /2, snippet: /2.conf}
- {name: three, kind: bird, socket: /3, snippet: /3.conf}
`)
	var asked driver.State
	var closed bool
	cfg.Drivers[0].Driver, cfg.Drivers[1].Driver, cfg.Drivers[2].Driver = examiner{asked: &asked, closed: &closed}, broken{}, stuck{}
	h := healthy()
	h.Running.Degraded = map[string]bool{"bad": true}
	var got []driver.Finding
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got = Examine(t.Context(), cfg, h).Findings
		if took := time.Since(start); took != examineTimeout {
			t.Errorf("took %s: one after the other, or for ever", took)
		}
	})
	expect(t, got, []string{
		"error gate-unused one: up4: y",
		"error daemon-unreachable three: can't be asked what it announces: context deadline exceeded",
		"error daemon-unreachable two: can't be asked what it announces: connection refused",
		"warning session-down one: x",
	})
	if !closed {
		t.Error("the connection stays open")
	}
	worse := cfg.Services[1].Degraded
	want := []driver.Route{
		{Prefix: netip.MustParsePrefix("192.0.2.53/32"), Service: "up", Presence: driver.Announced},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Service: "up", Presence: driver.Announced, PrefixOnly: true},
		{Prefix: netip.MustParsePrefix("2001:db8:53::53/128"), Service: "bad", Presence: driver.Announced, Degraded: true, Attributes: worse},
		{Prefix: netip.MustParsePrefix("192.0.2.54/32"), Service: "down", Presence: driver.Announced},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Service: "down", Presence: driver.Announced, PrefixOnly: true},
		{Prefix: netip.MustParsePrefix("192.0.2.55/32"), Service: "else", Presence: driver.Absent},
	}
	if d := cmp.Diff(want, asked.Routes, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("asked about (-want +got):\n%s", d)
	}
}

// A plain user who ran doctor was told that keepcast may not use the daemon's socket and
// what to do about it, though it was only that user who may not.
func TestDaemonsBarred(t *testing.T) {
	cfg := load(t, `
services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: tcp, address: 'x:1'}]}]
drivers:
- {name: one, kind: bird, socket: /nonexistent/1, snippet: /1.conf}
- {name: two, kind: frr, directory: /nonexistent/2, daemons: [bgpd], snippet: /2.conf}
`)
	h := healthy()
	for err, want := range map[error][]string{
		fs.ErrPermission: {"info not-examined one: this user may not ask it, at /nonexistent/1", "info not-examined two: run doctor as root"},
		fs.ErrNotExist:   {"error daemon-down bgpd: ", "error daemon-down bird: ", "error daemon-down zebra: "},
	} {
		h.Barred = func(string) error { return err }
		got := slices.DeleteFunc(Examine(t.Context(), cfg, h).Findings, func(f driver.Finding) bool { return f.Name != "not-examined" && f.Name != "daemon-down" })
		expect(t, got, want)
	}
}

// Who runs keepcast learns what keepcast would; root may do everything.
func TestBarred(t *testing.T) {
	if err := (Account{UID: uint32(os.Geteuid())}).Barred("/nonexistent"); err != nil {
		t.Errorf("itself: %v", err)
	}
	other := Account{UID: uint32(os.Geteuid()) + 1}
	if err := other.Barred("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("somebody else: %v", err)
	}
	if err := other.Barred(t.TempDir()); err != nil {
		t.Errorf("somebody else who may: %v", err)
	}
}
