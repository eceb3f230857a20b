package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// stall keeps the loop busy until the function that it returns is called.
func (b *harness) stall() (end func()) {
	busy := make(chan struct{})
	b.engine.post(func() { <-busy })
	synctest.Wait()
	return func() { close(busy) }
}

// Whoever asks for the status waits for nobody, and nobody waits for him. Each request had
// to be answered by the loop once: five hundred clients held up a withdrawal for five
// seconds.
func TestStatusAsksNobody(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		end := b.stall()
		c.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Announced, "all checks up") // as it was decided last
		end()
		synctest.Wait()
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		b.end()
		if _, err := b.engine.Status(); !errors.Is(err, api.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A loop that does not turn is told by Alive, which does not wait for it.
func TestEngineAlive(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	alive := func(want string) {
		t.Helper()
		got := ""
		if err := b.engine.Alive(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	synctest.Test(t, func(*testing.T) {
		b.create()
		alive("keepcast is starting: it has not looked at the host yet")
		b.start()
		later(time.Hour)
		alive("")
		end := b.stall()
		later(3 * beat)
		alive("")
		later(time.Second)
		alive("keepcast has decided nothing for 16s")
		end()
		later(0)
		alive("")
		b.end()
		alive(api.ErrStopped.Error())
	})
}

// A driver that left the configuration is shown until its gate is closed. It was forgotten
// at once: what its daemon went on announcing was announced by nobody.
func TestLeavingDriverIsShown(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	other := &fakeDriver{journal: b.kernel.journal, name: "other"}
	b.addDriver("other", other)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		other.set(func() { other.fail = errDead })
		b.reload(func(c *config.Config) { c.Drivers = c.Drivers[:1] })
		later(time.Second)
		s, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		want := api.DriverStatus{Name: "other", Kind: "other", Error: "left the configuration, but its gate can't be closed: connection refused"}
		got := s.Drivers[len(s.Drivers)-1]
		got.Since = time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		other.set(func() { other.fail = nil })
		later(10 * time.Second)
		if s, _ = b.engine.Status(); len(s.Drivers) != 2 {
			t.Errorf("still shown: %+v", s.Drivers)
		}
		if got := prefixesOf(other); got != "" {
			t.Errorf("its daemon still announces %s", got)
		}
		b.end()
	})
}

// A driver that a reload adds has a change to do though nothing else is desired than before:
// one that hung with it was shown without an error for ever.
func TestAddedDriverHangs(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		hang := make(chan struct{})
		b.addDriver("stuck", &stuckDriver{fakeDriver: &fakeDriver{journal: b.kernel.journal, name: "stuck"}, in: "apply", until: hang})
		added := time.Now()
		b.reload(func(*config.Config) {})
		later(3 * time.Second)
		s, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		want := api.DriverStatus{
			Name: "stuck", Kind: "stuck", Since: added,
			Error: "no answer to a change since " + added.Format(time.TimeOnly) + ": it hangs, or a file that it needs does",
		}
		if diff := cmp.Diff(want, s.Drivers[len(s.Drivers)-1]); diff != "" {
			t.Error(diff)
		}
		close(hang)
		b.end()
	})
}

// prefixesOf lists what a daemon announces.
func prefixesOf(d *fakeDriver) (list string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.have.Announced() {
		list += r.Prefix.String() + " "
	}
	return list
}
