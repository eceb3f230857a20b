package checks

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// space is a network namespace of a test, which ends with it.
type space struct {
	t  *testing.T
	ns netns.NsHandle
}

// newSpace makes one, and runs commands of ip in it.
func newSpace(t *testing.T, commands ...string) *space {
	t.Helper()
	s := &space{t: t, ns: netns.None()}
	inSpace(t, "ip link set lo up", func() {
		ns, err := netns.Get()
		if err != nil {
			t.Error(err)
			return
		}
		s.ns = ns
	})
	if !s.ns.IsOpen() {
		t.FailNow()
	}
	t.Cleanup(func() { s.ns.Close() })
	for _, c := range commands {
		s.ip(c)
	}
	return s
}

// do calls f on a thread in the namespace.
func (s *space) do(f func()) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread dies with the goroutine
		err := unix.Setns(int(s.ns), unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		s.t.Error(err)
	}
}

// ip runs ip with these words there.
func (s *space) ip(words string) {
	s.t.Helper()
	s.run("ip " + words)
}

// run runs a line of shell there.
func (s *space) run(line string) {
	s.t.Helper()
	s.says(line)
}

// says runs a line of shell there, and returns what it says.
func (s *space) says(line string) (out string) {
	s.t.Helper()
	s.do(func() {
		said, err := exec.CommandContext(s.t.Context(), "sh", "-ec", line).CombinedOutput()
		if err != nil {
			s.t.Errorf("%s: %v: %s", line, err, said)
		}
		out = string(said)
	})
	if s.t.Failed() {
		s.t.FailNow()
	}
	return out
}

// check runs a check there.
func (s *space) check(c Checker) (err error) {
	s.do(func() { err = c.Check(within(s.t)) })
	return err
}

// fails compares what a check says there, and whether it is certain.
func (s *space) fails(c Checker, want string, certain bool) {
	s.t.Helper()
	err := s.check(c)
	sameError(s.t, err, want, "")
	if health.IsCertain(err) != certain {
		s.t.Errorf("certain: %v of %v", !certain, err)
	}
	if health.IsVoid(err) {
		s.t.Errorf("void: %v", err)
	}
}

// sees compares what a check sees there.
func (s *space) sees(c Checker, want ...string) {
	s.t.Helper()
	s.do(func() { sameSeen(s.t, c, want...) })
}

// spaced is a Watcher that is run in the namespace.
type spaced struct {
	health.Watcher
	s *space
}

func (w spaced) Watch(ctx context.Context, changed func()) (err error) {
	w.s.do(func() { err = w.Watcher.Watch(ctx, changed) })
	return err
}

// change is a command of ip and what the check says once it was told of it.
type change struct{ ip, want string }

// follows watches there, and sees that each change is told, after which the check says what
// is wanted.
func (s *space) follows(w health.Watcher, changesAre ...change) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(within(s.t))
	defer cancel()
	changes, ended := watching(ctx, spaced{w, s})
	told(s.t, changes, func() error { return nil }, "") // the watch is set up
	for _, c := range changesAre {
		if c.ip != "" {
			s.ip(c.ip)
		}
		told(s.t, changes, func() error { return s.check(w) }, c.want)
	}
	cancel()
	sameError(s.t, <-ended, "", "")
}

// passesOver watches there and sees that nothing is told of the other changes: what is told
// of the last one comes alone.
func (s *space) passesOver(w health.Watcher, last string, others ...string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(within(s.t))
	defer cancel()
	calls, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- spaced{w, s}.Watch(ctx, func() { calls <- struct{}{} }) }()
	heard := func() {
		select {
		case <-calls:
		case <-ctx.Done():
			s.t.Fatal("nothing was told")
		}
	}
	heard()
	for _, c := range others {
		s.ip(c)
	}
	s.ip(last)
	heard()
	if n := len(calls); n != 0 {
		s.t.Errorf("%d changes too many, of %s", n, strings.Join(others, ", "))
	}
	cancel()
	sameError(s.t, <-ended, "", "")
}

// A watch that lacks a descriptor says so, and is started again.
func TestWatchWithoutDescriptors(t *testing.T) {
	for name, c := range map[string]health.Watcher{
		"file":      &File{Path: "/etc/hosts"},
		"address":   &Address{Address: addr("127.0.0.1")},
		"interface": &Interface{Interface: "lo"},
		"route":     to("0.0.0.0/0"),
	} {
		t.Run(name, func(t *testing.T) {
			before := files(t)
			var err error
			withoutFiles(t, func() { err = c.Watch(within(t), t.FailNow) })
			if !errors.Is(err, unix.EMFILE) {
				t.Errorf("got %v", err)
			}
			drivertest.Eventually(t, "the descriptors are closed again", func() bool { return files(t) == before })
		})
	}
}
