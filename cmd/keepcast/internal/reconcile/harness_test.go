package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const (
	one = drivertest.V4
	two = "192.0.2.54/32"
	six = drivertest.V6
)

var (
	errRefused = errors.New("syntax error")
	errNetlink = errors.New("no buffer space available")
)

// announced, delivered and absent return routes, prefixOnly and worse change one.
func announced(prefix string) driver.Route { return drivertest.Route(prefix, driver.Announced) }
func delivered(prefix string) driver.Route { return drivertest.Route(prefix, driver.Delivered) }
func gone(prefix string) driver.Route      { return drivertest.Route(prefix, driver.Absent) }

func prefixOnly(r driver.Route) driver.Route {
	r.PrefixOnly = true
	return r
}

func worse(r driver.Route) driver.Route {
	r.Degraded, r.Attributes = true, drivertest.Worse()
	return r
}

func throughInterface(iface string, r driver.Route) driver.Route {
	r.Interface = iface
	return r
}

// journal notes what all that is fake does, and when. Its lock is that of all of them.
type journal struct {
	mu      sync.Mutex
	began   time.Time
	lines   []string
	running int      // calls of drivers, and watches
	faults  []string // what no Reconciler may do
}

// note is called with the lock held.
func (j *journal) note(format string, args ...any) {
	j.lines = append(j.lines, time.Since(j.began).String()+" "+fmt.Sprintf(format, args...))
}

// take returns the lines since the last call; the times are since then.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines, j.began = nil, time.Now()
	return lines
}

// set changes something fake.
func (j *journal) set(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
}

// harness is a host in memory, with a Reconciler at work. Its tests run in a bubble of
// synctest.
type harness struct {
	t *testing.T
	*journal
	kernel     *fakeKernel // nil: somebody else manages the addresses
	reconciler *Reconciler
	gen        int
	stop       func()
	done       chan struct{}

	log      bytes.Buffer
	reports  map[string]Report
	applied  map[string][2]int        // how often it worked, and how often it failed
	took     map[string]time.Duration // the last one
	repaired map[string]int
	reached  []time.Duration
	told     func(Report)                   // is told each report, too; nil: nobody
	host     func() ([]driver.Route, error) // the addresses that it has
}

// newHarness returns a host on which nothing runs yet.
func newHarness(t *testing.T) *harness {
	t.Helper()
	j := &journal{began: time.Now()}
	return &harness{
		t: t, journal: j, kernel: &fakeKernel{journal: j, have: map[netip.Prefix]driver.Presence{}, fails: map[string]error{}},
		host: func() ([]driver.Route, error) {
			return []driver.Route{throughInterface("anycast0", announced(one)), throughInterface("anycast0", announced(two)), throughInterface("anycast0", announced(six))}, nil
		},
		reports: map[string]Report{}, applied: map[string][2]int{}, took: map[string]time.Duration{}, repaired: map[string]int{},
	}
}

// Write takes the log.
func (h *harness) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *harness) Applied(name string, took time.Duration, err error) {
	h.set(func() {
		n := h.applied[name]
		if err == nil {
			n[0]++
		} else {
			n[1]++
		}
		h.applied[name], h.took[name] = n, took
	})
}

func (h *harness) Reached(after time.Duration) {
	h.set(func() { h.reached = append(h.reached, after) })
}

func (h *harness) Repaired(name string) { h.set(func() { h.repaired[name]++ }) }

// bird returns a daemon that follows the address, frr one that does not.
func (h *harness) bird() (*fakeDriver, Driver) {
	d := &fakeDriver{journal: h.journal, name: "bird"}
	return d, Driver{Name: "bird", Driver: d, FollowsAddress: true, Settings: map[string]any{"kind": "bird"}, Places: []string{"/run/bird.ctl"}}
}

func (h *harness) frr() (*fakeDriver, Driver) {
	d := &fakeDriver{journal: h.journal, name: "frr"}
	return d, Driver{Name: "frr", Driver: d, Settings: map[string]any{"kind": "frr"}, Places: []string{"/run/frr"}}
}

// watched makes a driver a Watcher and an Opener.
func watched(d *fakeDriver, of Driver) (*watchedDriver, Driver) {
	w := &watchedDriver{fakeDriver: d}
	of.Driver = w
	return w, of
}

// start runs the Reconciler with these drivers until the test ends.
func (h *harness) start(drivers ...Driver) {
	h.t.Helper()
	opts := Options{
		Addresses: func() (on []driver.Route, err error) {
			h.set(func() { on, err = h.host() })
			return on, err
		},
		Metrics: h, Report: func(r Report) {
			h.set(func() {
				if h.reports[r.Driver] = r; h.told != nil {
					h.told(r)
				}
			})
		},
		Log: slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	}
	if h.kernel != nil {
		opts.Kernel = h.kernel
	}
	h.reconciler = New(opts)
	ctx, stop := context.WithCancel(h.t.Context())
	h.stop, h.done = stop, make(chan struct{})
	h.reconciler.SetDrivers(drivers)
	go func() {
		h.reconciler.Run(ctx)
		close(h.done)
	}()
	h.t.Cleanup(h.end)
	h.later(0)
	h.take()
}

// end stops the Reconciler and waits for it.
func (h *harness) end() {
	h.t.Helper()
	h.stop()
	<-h.done
	h.set(func() {
		if h.running != 0 {
			h.t.Errorf("%d calls still run after the end", h.running)
		}
		for _, fault := range h.faults {
			h.t.Error(fault)
		}
	})
}

// later lets time pass and everything that follows from it happen. What a test changes
// before it, while everything else waits, needs no lock.
func (h *harness) later(d time.Duration) {
	h.set(func() {}) // passes on to the others what the test changed
	time.Sleep(d)    // the bubble's clock
	synctest.Wait()
}

// state returns a desired state.
func state(routes ...driver.Route) driver.State {
	return driver.State{Interface: "anycast0", Routes: routes}
}

// desire hands over a new desired state.
func (h *harness) desire(routes ...driver.Route) {
	h.gen++
	h.reconciler.Apply(Desired{State: state(routes...), Gen: h.gen})
}

// did compares what was done since the last call, and when, with want.
func (h *harness) did(want ...string) {
	h.t.Helper()
	h.only(h.take(), "", want...)
}

// didBy compares what one did. What others did is forgotten.
func (h *harness) didBy(who string, want ...string) {
	h.t.Helper()
	h.only(h.take(), who, want...)
}

// only compares the lines of one with want.
func (h *harness) only(lines []string, who string, want ...string) {
	h.t.Helper()
	var got []string
	for _, line := range lines {
		if _, what, _ := strings.Cut(line, " "); strings.HasPrefix(what, who) {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		h.t.Errorf("done (-want +got):\n%s", diff)
	}
}

// logged compares what was logged since the last call with want.
func (h *harness) logged(want ...string) {
	h.t.Helper()
	got := strings.Split(h.log.String(), "\n")
	h.log.Reset()
	if diff := cmp.Diff(want, got[:len(got)-1], cmpopts.EquateEmpty()); diff != "" {
		h.t.Errorf("logged (-want +got):\n%s", diff)
	}
}

// says compares what was reported last with want.
func (h *harness) says(name, want string) {
	h.t.Helper()
	r := h.reports[name]
	got := fmt.Sprintf("gen %d", r.Gen)
	if r.InSync {
		got += ", in sync"
	}
	if r.Err != nil {
		got += ", " + r.Err.Error()
	}
	if r.Unobserved != nil {
		got += ", can't be asked: " + r.Unobserved.Error()
	}
	if got != want {
		h.t.Errorf("%s reports %q, want %q", name, got, want)
	}
}
