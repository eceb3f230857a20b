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

// trial is a rig in use: with a driver, as an engine would use it.
type trial struct {
	Rig
	t     *testing.T
	own   map[netip.Prefix]uint32 // what was announced before any driver came
	d     driver.Driver
	loads *atomic.Int32 // how often drivers said that something was loaded
}

// newTrial takes a rig into use.
func newTrial(t *testing.T, r Rig) *trial {
	t.Helper()
	tr := &trial{Rig: r, t: t, own: r.Announces(), loads: new(atomic.Int32)}
	tr.drive()
	return tr
}

// drive takes a new driver into use, until the test ends.
func (tr *trial) drive() {
	tr.t.Helper()
	tr.d = tr.New()
	if v, ok := tr.d.(driver.Validator); ok && v.Validate() != nil {
		tr.t.Fatal(v.Validate())
	}
	if o, ok := tr.d.(driver.Opener); ok {
		o.Open(driver.Options{Templates: tr.Templates, Reloaded: func() { tr.loads.Add(1) }})
		tr.t.Cleanup(func() { o.Close() })
	}
}

// restart has a keepcast end and another one start.
func (tr *trial) restart() {
	tr.t.Helper()
	if o, ok := tr.d.(driver.Opener); ok {
		if err := o.Close(); err != nil {
			tr.t.Error(err)
		}
	}
	tr.drive()
}

// other is a second keepcast on the same host.
func (tr *trial) other() *trial {
	tr.t.Helper()
	o := *tr
	o.drive()
	return &o
}

// try is Apply, which has to leave the state as it is.
func (tr *trial) try(ctx context.Context, s driver.State) error {
	tr.t.Helper()
	before := jsonOf(tr.t, s)
	err := tr.d.Apply(ctx, s)
	if d := cmp.Diff(before, jsonOf(tr.t, s)); d != "" {
		tr.t.Errorf("Apply changed the desired state (-was +is):\n%s", d)
	}
	return err
}

// apply is Apply that has to work.
func (tr *trial) apply(s driver.State) {
	tr.t.Helper()
	if err := tr.try(tr.t.Context(), s); err != nil {
		tr.t.Fatalf("applying %s: %v", words(s), err)
	}
}

// inSync waits until the daemon announces what s says, and the driver observes that. The
// driver's file has it too.
func (tr *trial) inSync(s driver.State) {
	tr.t.Helper()
	tr.announces(s)
	tr.observes(s)
	if r, ok := tr.d.(driver.Renderer); ok {
		text, err := r.Render(s)
		if d := cmp.Diff(string(text), tr.snippet()); d != "" || err != nil {
			tr.t.Fatalf("the snippet of %s: %v (-rendered +written):\n%s", words(s), err, d)
		}
	}
}

// announces waits until the daemon announces what s says, and nothing else but the
// operator's own.
func (tr *trial) announces(s driver.State) {
	tr.t.Helper()
	comesTo(tr.t, "announced of "+words(s), func() (want, got map[netip.Prefix]uint32) {
		want = maps.Clone(tr.own)
		for _, r := range tr.announced(s) {
			want[r.Prefix.Masked()] = 0
			if !tr.AddressesOnly {
				want[r.Prefix.Masked()] = medOf(r)
			}
		}
		return want, tr.Announces()
	})
}

// announced returns what of s the daemon has to announce.
func (tr *trial) announced(s driver.State) []driver.Route {
	return slices.DeleteFunc(s.Announced(), func(r driver.Route) bool { return r.PrefixOnly && tr.AddressesOnly })
}

// dumps waits until the daemon has these lines.
func (tr *trial) dumps(want []string) {
	tr.t.Helper()
	comesTo(tr.t, "the daemon", func() (_, got []string) {
		return slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(tr.Dump()))
	})
}

// observes waits until just the announced routes of s are observed, and which of them are
// degraded.
func (tr *trial) observes(s driver.State) {
	tr.t.Helper()
	comesTo(tr.t, "observed of "+words(s), func() (want, got map[netip.Prefix]bool) {
		want = map[netip.Prefix]bool{}
		for _, r := range tr.announced(s) {
			want[r.Prefix.Masked()] = r.Degraded && !tr.AddressesOnly
		}
		return want, tr.observed()
	})
}

// observed returns which of the suite's prefixes are observed as announced, and whether as
// degraded.
func (tr *trial) observed() map[netip.Prefix]bool {
	tr.t.Helper()
	return managed(tr, tr.observedAll())
}

// observedAll returns what is observed as announced; of the kernel that is the operator's
// own too.
func (tr *trial) observedAll() map[netip.Prefix]bool {
	tr.t.Helper()
	s, err := tr.d.Observe(tr.t.Context())
	if err != nil {
		tr.t.Fatalf("observing: %v", err)
	}
	out := map[netip.Prefix]bool{}
	for _, r := range s.Announced() {
		out[r.Prefix.Masked()] = r.Degraded
	}
	return out
}

// managed returns what an account has of the suite's prefixes.
func managed[V any](tr *trial, account map[netip.Prefix]V) map[netip.Prefix]V {
	out := maps.Clone(account)
	all := tr.state().Managed()
	maps.DeleteFunc(out, func(p netip.Prefix, _ V) bool { return !all[p] })
	return out
}

// lies returns what is observed and is not so, where s was applied last: a prefix that is
// not announced, or is called degraded and announced otherwise.
func (tr *trial) lies(s driver.State) (out []string) {
	tr.t.Helper()
	degraded := map[netip.Prefix]uint32{} // and their MED
	for _, r := range s.Announced() {
		if r.Degraded {
			degraded[r.Prefix.Masked()] = medOf(r)
		}
	}
	announced := tr.Announces()
	for p, is := range tr.observedAll() {
		med, there := announced[p]
		want, may := degraded[p]
		if !there || is && (!may || med != want) {
			out = append(out, fmt.Sprintf("%s (degraded: %t)", p, is))
		}
	}
	return out
}

// snippet returns what is in the driver's file, "" without one.
func (tr *trial) snippet() string {
	tr.t.Helper()
	e, ok := tr.d.(driver.Examiner)
	if !ok {
		return ""
	}
	text, err := os.ReadFile(e.Places().Files[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tr.t.Fatal(err)
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
