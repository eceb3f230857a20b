package bird

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// Watch tells of a BIRD that comes, is reconfigured, goes and comes back, also
// when the directory of its socket went with it.
func TestRealWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := newRealBIRD(t).host(birdStatics)
	run := filepath.Join(r.Dir, "run")
	r.Socket = filepath.Join(run, "bird.ctl")
	b := testDriver(r.Dir)
	b.Socket = r.Socket
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))

	var calls atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Watch(ctx, func() { calls.Add(1) }) }()
	told := func(what string, do func()) {
		t.Helper()
		before := calls.Load()
		do()
		drivertest.Eventually(t, what, func() bool { return calls.Load() > before })
	}
	mkdir := func() {
		if err := os.Mkdir(run, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	told("it came", func() { mkdir(); r.start() })
	told("it was reconfigured", func() {
		// A BIRD that is only asked has to have been asked before.
		drivertest.Eventually(t, "a second since the last", func() bool {
			said := r.Say("show status")
			return second(said, "Current server time is ") != second(said, "Last reconfiguration on ")
		})
		r.Say("configure")
	})
	told("a protocol was disabled", func() { r.Say("disable keepcast_pipe6") })
	told("it went", r.Stop)
	told("it came back over the stale socket", func() { r.start() })
	told("it went with its directory", func() {
		r.Stop()
		if err := os.RemoveAll(run); err != nil {
			t.Fatal(err)
		}
	})
	told("it came back with its directory", func() { mkdir(); r.start() })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A BIRD that has no echo is asked whether it was reconfigured.
func TestAsked(t *testing.T) {
	type step struct{ at, state, protocol string }
	for name, tc := range map[string]struct {
		steps []step
		news  int
	}{
		"nothing":                       {[]step{{"2026-11-25 20:00:00.998", "a", "up"}, {"2026-11-25 20:00:00.998", "a", "up"}}, 0},
		"jitter over a second":          {[]step{{"2026-11-25 20:00:00.999", "a", "up"}, {"2026-11-25 20:00:01.000", "a", "up"}, {"2026-11-25 20:00:00.999", "a", "up"}}, 0},
		"twice in a second":             {[]step{{"2026-11-25 19:00:00.000", "a", "up"}, {"2026-11-25 20:00:00.100", "a", "up"}, {"2026-11-25 20:00:00.900", "a", "up"}}, 2},
		"another snippet":               {[]step{{"2026-11-25 20:00:00.100", "a", "up"}, {"2026-11-25 20:00:00.101", "b", "up"}, {"2026-11-25 20:00:00.101", "", "up"}}, 2},
		"disabled":                      {[]step{{"2026-11-25 20:00:00.100", "a", "up"}, {"2026-11-25 20:00:00.100", "a", "down"}}, 1},
		"own format":                    {[]step{{"20:00:00.999", "a", "up"}, {"20:00:00.998", "a", "up"}, {"20:00:02.001", "a", "up"}}, 1},
		"own format, without fractions": {[]step{{"25 Nov", "a", "up"}, {"25 Nov", "a", "up"}, {"26 Nov", "a", "up"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := -1
			_, c := newFakeBIRD(t, func(_ int, command string) string {
				switch command {
				case "":
					return hello
				case "show status":
					if n++; n == len(tc.steps) {
						return "" // hangs up
					}
					return "1000-BIRD 3.3.2\n1011-Router ID is 10.99.0.1\n Last reconfiguration on " + tc.steps[n].at + "\n0013 Daemon is up and running\n"
				case "eval keepcast_state":
					if tc.steps[n].state == "" {
						return "9001 syntax error\n"
					}
					return "0023 " + tc.steps[n].state + "\n"
				}
				return "2002-Name Proto Table State Since Info\n1002-keepcast Direct --- " + tc.steps[n].protocol + " 20:00:00.000\n0000 \n"
			})
			conn, in, _, err := ctl.Open(t.Context(), c.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tick := make(chan time.Time, len(tc.steps))
			for range tc.steps {
				tick <- time.Time{}
			}
			news := 0
			poll(t.Context(), conn, in, tick, func() { news++ })
			if news != tc.news {
				t.Errorf("told %d times, want %d", news, tc.news)
			}
		})
	}
}

// second is the time behind a text, without the fraction of the second.
func second(status, text string) string {
	_, behind, _ := strings.Cut(status, text)
	when, _, _ := strings.Cut(behind, ".")
	return when
}

// Without a BIRD Watch waits, and ends when it is told to.
func TestWatchNobody(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b := testDriver(drivertest.SocketDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Watch(ctx, func() { t.Error("called") }) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The notice of a socket that is put in place is enough, without a tick.
func TestAwaitNotice(t *testing.T) {
	b := testDriver(drivertest.SocketDir(t))
	tried := make(chan struct{})
	old, err := net.Listen("unix", b.Socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // answers nothing, so that there is no BIRD yet
		defer close(tried)
		if conn, err := old.Accept(); err == nil {
			conn.Close()
		}
	}()
	found := make(chan net.Conn, 1)
	go func() {
		conn, _, err := b.await(t.Context(), nil)
		if err != nil {
			t.Error(err)
		}
		found <- conn
	}()
	<-tried
	_, c := newFakeBIRD(t, func(int, string) string { return hello })
	if err := os.Rename(c.Socket, b.Socket); err != nil {
		t.Fatal(err)
	}
	select {
	case conn := <-found:
		conn.Close()
	case <-time.After(20 * time.Second):
		t.Error("not found")
	}
	old.Close()
}

// A BIRD that hung up right after its banner was connected to 368 times a second, which
// kept a processor busy that the services of the host need.
func TestWatchHangsUp(t *testing.T) {
	const tries = 6
	came := make(chan time.Time, tries)
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		if command == "" {
			select {
			case came <- time.Now():
			default:
			}
			return hello
		}
		return ""
	})
	b := testDriver(filepath.Dir(c.Socket))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Watch(ctx, func() {}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	first, last, pauses := <-came, time.Time{}, time.Duration(0)
	for n := 1; n < tries; n++ {
		last = <-came
		pauses += pace.Backoff(reopenFirst, retryInterval, n)
	}
	if took := last.Sub(first); took < pauses {
		t.Errorf("%d connections within %s, want %s or more", tries, took, pauses)
	}
}
