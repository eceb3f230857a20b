package reconcile

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// keeps has the daemon announce a prefix, and say that only its address takes it back.
func (d *fakeDriver) keeps(prefix string) {
	d.set(func() {
		d.kept = []driver.Route{announced(prefix)}
		d.recall = []netip.Prefix{netip.MustParsePrefix(prefix)}
	})
}

// A daemon that has missed that an address went announced it for ever, and an operator
// whose monitoring looks at readyz was told that all is well. It is told again, three times
// at most, and not in sync meanwhile.
func TestRecalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(two), delivered(one))
		fake.keeps(one)
		h.later(3 * time.Second)
		h.says("frr", "gen 1, in sync") // it may need the time
		h.later(10 * time.Minute)
		again := "kernel recalls delivered " + one + " on anycast0"
		h.didBy("kernel recalls", "3.1s "+again, "6.3s "+again, "11.3s "+again)
		h.says("frr", "gen 1, still announces "+one+", which is withdrawn")
		if h.repaired["frr"] != 3 {
			t.Errorf("%d repairs counted, want 3", h.repaired["frr"])
		}

		h.desire(announced(two), delivered(one), delivered(six)) // which is worth new ones
		h.kernel.recalled = func() { fake.kept, fake.recall = nil, nil }
		h.later(time.Minute)
		h.didBy("kernel recalls", "2s "+again)
		h.says("frr", "gen 2, in sync")
	})
}

// The address must not be on the host for a moment where that is not the only way, or
// where it is announced by another driver.
func TestNoRecall(t *testing.T) {
	for name, tc := range map[string]struct {
		desired driver.Route
		told    func(*fakeDriver)
		want    string
	}{
		"it is kept, and does not say so": {delivered(one), func(d *fakeDriver) { d.recall = nil }, "gen 1, still announces " + one + ", which is withdrawn"},
		"it is announced":                 {announced(one), func(*fakeDriver) {}, "gen 1, in sync"},
		"it is none of keepcast's":        {delivered(two), func(*fakeDriver) {}, "gen 1, in sync"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				fake.keeps(one)
				tc.told(fake)
				h.start(frr)
				h.desire(tc.desired)
				h.later(time.Minute)
				h.didBy("kernel recalls")
				h.says("frr", tc.want)
			})
		})
	}
}
