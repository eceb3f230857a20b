package kernel

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// space is a network namespace of its own for one test.
type space struct {
	t  testing.TB
	ns netns.NsHandle
}

func newSpace(t testing.TB) space {
	t.Helper()
	s := space{t, drivertest.Space(t)}
	s.ip("link set lo up")
	return s
}

// path names the namespace for other programs.
func (s space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(s.ns)) }

// ip runs the ip command in the namespace; words are split at blanks.
func (s space) ip(words string) string {
	s.t.Helper()
	out, err := s.run("ip " + words)
	if err != nil {
		s.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
	return out
}

func (s space) run(words string) (string, error) {
	argv := append([]string{"--net=" + s.path()}, strings.Fields(words)...)
	out, err := exec.Command("nsenter", argv...).CombinedOutput()
	return string(out), err
}

// do runs f on a thread that is in the namespace.
func (s space) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		done <- errors.Join(netns.Set(s.ns), f())
	}()
	return <-done
}

// kernel returns a Kernel for any0, an interface of type ifb that stands in for
// a dummy where the kernel has none.
func (s space) kernel() *Kernel {
	s.t.Helper()
	s.ip("link add any0 type ifb")
	return s.bare()
}

// bare is kernel without the interface.
func (s space) bare() *Kernel {
	k := newAt(s.ns, "any0", slog.New(slog.DiscardHandler))
	s.t.Cleanup(k.Close)
	return k
}

// addrs returns the addresses of any0 without the link-local one, as ip -o
// prints them: prefix, then flags in its order.
func (s space) addrs() []string {
	s.t.Helper()
	var out []string
	for line := range strings.Lines(s.ip("-o addr show dev any0 scope global")) {
		words := strings.Fields(strings.SplitN(line, "\\", 2)[0])
		out = append(out, strings.Join(append(words[3:4], words[6:]...), " "))
	}
	return out
}

// locals returns keepcast's local delivery routes, as ip route prints them.
func (s space) locals() []string {
	s.t.Helper()
	var out []string
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(s.ip(family + " route show table local proto 250")) {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

func apply(t testing.TB, k *Kernel, routes ...driver.Route) {
	t.Helper()
	if err := k.Apply(t.Context(), driver.State{Interface: "any0", Routes: routes}); err != nil {
		t.Fatal(err)
	}
}
