package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
)

// host is a rig in use: with a driver, as an engine would use it.
type host struct {
	Rig
	t     *testing.T
	own   map[netip.Prefix]uint32 // what was announced before any driver came
	d     driver.Driver
	loads *atomic.Int32 // how often drivers said that something was loaded
}

// newHost takes a rig into use.
func newHost(t *testing.T, r Rig) *host {
	t.Helper()
	h := &host{Rig: r, t: t, own: r.Announces(), loads: new(atomic.Int32)}
	h.drive()
	return h
}

// drive takes a new driver into use, until the test ends.
func (h *host) drive() {
	h.t.Helper()
	h.d = h.New()
	if v, ok := h.d.(driver.Validator); ok && v.Validate() != nil {
		h.t.Fatal(v.Validate())
	}
	if o, ok := h.d.(driver.Opener); ok {
		o.Open(driver.Options{Templates: h.Templates, Reloaded: func() { h.loads.Add(1) }})
		h.t.Cleanup(func() { o.Close() })
	}
}

// restart has a keepcast end and another one start.
func (h *host) restart() {
	h.t.Helper()
	if o, ok := h.d.(driver.Opener); ok {
		if err := o.Close(); err != nil {
			h.t.Error(err)
		}
	}
	h.drive()
}

// other is a second keepcast on the same host.
func (h *host) other() *host {
	h.t.Helper()
	o := *h
	o.drive()
	return &o
}

// try is Apply, which has to leave the state as it is.
func (h *host) try(ctx context.Context, s driver.State) error {
	h.t.Helper()
	before := jsonOf(h.t, s)
	err := h.d.Apply(ctx, s)
	if d := cmp.Diff(before, jsonOf(h.t, s)); d != "" {
		h.t.Errorf("Apply changed the desired state (-was +is):\n%s", d)
	}
	return err
}

// apply is Apply that has to work.
func (h *host) apply(s driver.State) {
	h.t.Helper()
	if err := h.try(h.t.Context(), s); err != nil {
		h.t.Fatalf("applying %s: %v", words(s), err)
	}
}

// inSync waits until the daemon announces what s says, and the driver observes that. The
// driver's file has it too.
func (h *host) inSync(s driver.State) {
	h.t.Helper()
	h.announces(s)
	h.observes(s)
	if r, ok := h.d.(driver.Renderer); ok {
		text, err := r.Render(s)
		if d := cmp.Diff(string(text), h.snippet()); d != "" || err != nil {
			h.t.Fatalf("the snippet of %s: %v (-rendered +written):\n%s", words(s), err, d)
		}
	}
}

// announces waits until the daemon announces what s says, and nothing else but the
// operator's own.
func (h *host) announces(s driver.State) {
	h.t.Helper()
	comesTo(h.t, "announced of "+words(s), func() (want, got map[netip.Prefix]uint32) {
		want = maps.Clone(h.own)
		for _, r := range h.announced(s) {
			want[r.Prefix.Masked()] = 0
			if !h.AddressesOnly {
				want[r.Prefix.Masked()] = medOf(r)
			}
		}
		return want, h.Announces()
	})
}

// announced returns what of s the daemon has to announce.
func (h *host) announced(s driver.State) []driver.Route {
	return slices.DeleteFunc(s.Announced(), func(r driver.Route) bool { return r.PrefixOnly && h.AddressesOnly })
}

// dumps waits until the daemon has these lines.
func (h *host) dumps(want []string) {
	h.t.Helper()
	comesTo(h.t, "the daemon", func() (_, got []string) {
		return slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(h.Dump()))
	})
}

// observes waits until just the announced routes of s are observed, and which of them are
// degraded.
func (h *host) observes(s driver.State) {
	h.t.Helper()
	comesTo(h.t, "observed of "+words(s), func() (want, got map[netip.Prefix]bool) {
		want = map[netip.Prefix]bool{}
		for _, r := range h.announced(s) {
			want[r.Prefix.Masked()] = r.Degraded && !h.AddressesOnly
		}
		return want, h.observed()
	})
}

// observed returns which of the suite's prefixes are observed as announced, and whether as
// degraded.
func (h *host) observed() map[netip.Prefix]bool {
	h.t.Helper()
	return managed(h, h.observedAll())
}

// observedAll returns what is observed as announced; of the kernel that is the operator's
// own too.
func (h *host) observedAll() map[netip.Prefix]bool {
	h.t.Helper()
	s, err := h.d.Observe(h.t.Context())
	if err != nil {
		h.t.Fatalf("observing: %v", err)
	}
	out := map[netip.Prefix]bool{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = r.Degraded
	}
	return out
}

// managed returns what an account has of the suite's prefixes.
func managed[V any](h *host, account map[netip.Prefix]V) map[netip.Prefix]V {
	out := maps.Clone(account)
	all := h.state().Managed()
	maps.DeleteFunc(out, func(p netip.Prefix, _ V) bool { return !all[p] })
	return out
}

// lies returns what is observed and is not so, where s was applied last: a prefix that is
// not announced, or is called degraded and announced otherwise.
func (h *host) lies(s driver.State) (out []string) {
	h.t.Helper()
	degraded := map[netip.Prefix]uint32{} // and their MED
	for _, r := range s.Announced() {
		if r.Degraded {
			degraded[r.Prefix.Masked()] = medOf(r)
		}
	}
	announced := h.Announces()
	for p, is := range h.observedAll() {
		med, there := announced[p]
		want, may := degraded[p]
		if !there || is && (!may || med != want) {
			out = append(out, fmt.Sprintf("%s (degraded: %t)", p, is))
		}
	}
	return out
}

// snippet returns what is in the driver's file, "" without one.
func (h *host) snippet() string {
	h.t.Helper()
	e, ok := h.d.(driver.Examiner)
	if !ok {
		return ""
	}
	text, err := os.ReadFile(e.Places().Files[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(text)
}

// comesTo waits until what is wanted is what there is.
func comesTo[T any](t *testing.T, what string, look func() (want, got T)) {
	t.Helper()
	diff := ""
	if !WaitFor(func() bool {
		want, got := look()
		diff = cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}))
		return diff == ""
	}) {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// jsonOf writes a state out, with all that its pointers lead to.
func jsonOf(t *testing.T, s driver.State) string {
	t.Helper()
	out, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// keys returns the prefixes of an account, sorted.
func keys[V any](m map[netip.Prefix]V) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), netip.Prefix.Compare)
}
