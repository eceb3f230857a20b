package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fullTable is how many routes the host has that are none of keepcast's business,
// and rounds is how often each change is made with them.
const (
	fullTable = 100_000
	rounds    = 10
)

// runFile and goodFile are what the checks of the service that changes look for.
const (
	runFile  = "/run/keepcast/s1-runs"
	goodFile = "/run/keepcast/s1-good"
)

// three is a configuration with three services of Anycast, of which s1 changes.
func three(driver string) string {
	text := "linger: 0s\ndrivers:\n  - " + driver + "\n" +
		"defaults: {interval: 10s, fast_interval: 100ms, timeout: 2s, rise: 1, fall: 1}\nservices:\n"
	for i := range 3 {
		v4, v6 := Anycast(i)
		text += fmt.Sprintf("  - name: s%d\n    addresses: [%s, \"%s\"]\n    checks:\n", i, v4, v6)
		if i == 1 {
			text += "      - {name: runs, kind: exec, command: [test, -e, " + runFile + "], interval: 100ms}\n" +
				"      - {name: good, kind: exec, command: [test, -e, " + goodFile + "], interval: 100ms, on_failure: degrade}\n"
		} else {
			text += "      - {name: runs, kind: exec, command: [\"true\"]}\n"
		}
	}
	return text
}

// TestFullTable is that a change of one service costs the same whether BIRD has
// ten routes or 100,000, and what it sends then: one update with the one prefix on
// each session, and nothing else.
func TestFullTable(t *testing.T) {
	s := newTable(t)
	s.awaitSilence()
	figures := map[int]figure{}
	for _, n := range []int{10, fullTable} {
		s.must(s.Router().SetTable(s.ctx, n)) // of which a says nothing
		figures[n] = s.changes()
		t.Logf("%d routes: %s", n, figures[n])
	}
	// Wide, because the work of the rest of the machine goes into it, too. Feeding
	// the table again would be 20 ms and more for each change.
	small, full := figures[10], figures[fullTable]
	if limit := 3*small.cpu + time.Duration(full.changes)*3*time.Millisecond; full.cpu > limit {
		t.Errorf("bird used %s of CPU, more than %s, as with 10 routes it used %s", full.cpu, limit, small.cpu)
	}
}

// table is a lab with keepcast on host a alone, and what that says to the router.
type table struct {
	*stand
	mu      sync.Mutex
	said    []BGPMessage // since it was last looked at, without keepalives
	decided time.Time    // when keepcast logged the change of s1
}

// figure is what changes cost.
type figure struct {
	changes int
	cpu     time.Duration // of bird, of all
	median  time.Duration // from keepcast's decision to the last update on the wire
	slowest time.Duration
}

func (f figure) String() string {
	return fmt.Sprintf("%d changes, bird's CPU %s each, on the wire after %s (median), %s (slowest)",
		f.changes, f.cpu/time.Duration(f.changes), f.median, f.slowest)
}

func newTable(t *testing.T) *table {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Daemon: BIRD, Protocol: BGP, Keepcast: path}
	ctx, l := start(t, o)
	s := &table{stand: &stand{t: t, Lab: l, ctx: ctx}}
	a := l.Host("a")
	s.set(runFile, true)
	s.set(goodFile, true)
	tap, err := l.Router().Tap("a")
	s.must(err)
	listening, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tap.Messages(listening, s.hear); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
		if t.Failed() {
			s.dump(a)
		}
	})
	k, err := a.AddKeepcast(three(driverOf(a, o)), s.logged)
	s.must(err)
	s.must(k.Start(ctx))
	for i := range 3 {
		v4, v6 := Anycast(i)
		s.must(l.Router().AwaitNextHops(ctx, Prefixes(v4, v6), "a"))
	}
	return s
}

// set makes a file of host a be there or not.
func (s *table) set(file string, there bool) {
	s.t.Helper()
	path := s.Host("a").outside(file)
	if there {
		s.must(os.WriteFile(path, nil, 0o600))
	} else {
		s.must(os.Remove(path))
	}
}

// logged takes a line of keepcast's log.
func (s *table) logged(line string) {
	if strings.Contains(line, "service state decided") && strings.Contains(line, "service=s1 ") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.decided = time.Now()
	}
}

func (s *table) hear(m BGPMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Type != BGPKeepalive {
		s.said = append(s.said, m)
	}
}

// awaitSilence waits until what was said is old, and forgets it.
func (s *table) awaitSilence() {
	s.t.Helper()
	s.must(Until(s.ctx, "silence", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.said); n > 0 && time.Since(s.said[n-1].At) < time.Second {
			return fmt.Errorf("%d messages so far", n)
		}
		s.said = nil
		return nil
	}))
}

// changes makes the changes of service s1 again and again. Each must be one update
// on each of the two sessions.
func (s *table) changes() (f figure) {
	s.t.Helper()
	p, err := s.Host("a").Process("bird")
	s.must(err)
	before := cpu(s.t, p.PID())
	var took []time.Duration
	for range rounds {
		for _, c := range []struct {
			what, file string
			there      bool
		}{
			{"withdraw", runFile, false},
			{"announce", runFile, true},
			{"degrade", goodFile, false},
			{"announce", goodFile, true},
		} {
			s.set(c.file, c.there)
			took = append(took, s.heard(c.what))
		}
	}
	f.changes, f.cpu = len(took), cpu(s.t, p.PID())-before
	slices.Sort(took)
	f.median, f.slowest = took[len(took)/2], took[len(took)-1]
	return f
}

// heard waits for the updates that a change of s1 makes, and returns how long
// after keepcast's decision the last one came. All that was said since the last
// change must be those.
func (s *table) heard(what string) (after time.Duration) {
	s.t.Helper()
	v4, v6 := Anycast(1)
	want := []string{}
	for _, p := range Prefixes(v6, v4) {
		want = append(want, what+" "+p.String())
	}
	slices.Sort(want)
	s.must(Until(s.ctx, "updates", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		var got []string
		for _, m := range s.said {
			got = append(got, said(m))
			after = m.At.Sub(s.decided)
		}
		slices.Sort(got)
		diff := cmp.Diff(want, got)
		if len(got) > len(want) { // no use in waiting
			s.t.Fatalf("said on %s (-want +got):\n%s", what, diff)
		}
		if diff != "" {
			return errors.New(diff)
		}
		s.said = nil
		return nil
	}))
	return after
}

// said is a message in a word and its prefixes.
func said(m BGPMessage) string {
	list := func(all []netip.Prefix) string { return strings.Trim(fmt.Sprint(all), "[]") }
	switch {
	case m.Type != BGPUpdate || (len(m.Announced) > 0 && len(m.Withdrawn) > 0):
		return fmt.Sprintf("%+v", m)
	case len(m.Withdrawn) > 0:
		return "withdraw " + list(m.Withdrawn)
	case m.MED > 0:
		return "degrade " + list(m.Announced)
	default:
		return "announce " + list(m.Announced)
	}
}

// cpu is the time that the threads of a process have run (proc(5), schedstat).
func cpu(t testing.TB, pid int) (sum time.Duration) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/schedstat"))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %v", pid, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}
