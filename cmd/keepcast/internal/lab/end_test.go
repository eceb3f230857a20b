package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
	"go.uber.org/goleak"
)

// victim is the variable that makes the test binary set up a lab, say where it
// is and wait to be killed.
const victim = "KEEPCAST_LAB_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) == "" {
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			if err := os.RemoveAll(builtIn); err != nil { // of nothing it is no error
				fmt.Println(err)
				code = 1
			}
			os.Exit(code)
		}))
		return
	}
	l, err := New(context.Background(), Options{Daemon: FRR, Daemons: map[string]string{"a": BIRD}, Protocol: BGP, Root: os.Getenv("KEEPCAST_LAB_ROOT")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(l.Dir())
	select {}
}

// A lab whose process is killed takes its daemons with it, and the next lab
// removes the rest.
func TestKilled(t *testing.T) {
	ctx, _ := start(t, Options{Daemon: BIRD, Daemons: map[string]string{"b": FRR}, Protocol: BGP})
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	dir := strings.TrimSpace(line)
	if !strings.HasPrefix(dir, base+"/"+prefix) {
		t.Fatalf("no lab: %s: %v", line, cmd.Wait())
	}
	if n := len(processesOf(t, dir)); n < 5 { // bird of a, zebra and bgpd of b and r; FRR 10 has mgmtd too
		t.Errorf("the lab has %d processes", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
	err = Until(ctx, "the end of the lab's processes", func(context.Context) error {
		if left := processesOf(t, dir); len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sweep(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(namespaces, filepath.Base(dir)+"*"))
	if _, serr := os.Stat(dir); err != nil || len(left) > 0 || !errors.Is(serr, fs.ErrNotExist) {
		t.Errorf("left after the sweep: %v; %s: %v; %v", left, dir, serr, err)
	}
}

// processesOf finds the processes that have a network namespace of the lab.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(namespaces, filepath.Base(dir)+"-*"))
	if err != nil || len(names) != 4 {
		t.Fatalf("namespaces of %s: %v %v", dir, names, err)
	}
	var all []string
	for _, name := range names {
		out, err := exec.CommandContext(t.Context(), "ip", "netns", "pids", filepath.Base(name)).Output()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Fields(string(out))...)
	}
	return all
}

func TestCancelled(t *testing.T) {
	_, l := start(t, Options{Daemon: BIRD, Protocol: BGP})
	ours := filepath.Join(base, fmt.Sprintf("%s%d-*", prefix, os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, l.options); !errors.Is(err, context.Canceled) {
		t.Errorf("setting up when cancelled: %v", err)
	}
	left, err := filepath.Glob(ours)
	if err != nil || len(left) != 1 || left[0] != l.Dir() {
		t.Errorf("labs: %v %v", left, err)
	}
}

// Daemons and services can be stopped, killed and started again.
func TestProcesses(t *testing.T) {
	ctx, l := start(t, Options{Daemon: BIRD, Daemons: map[string]string{"b": FRR}, Protocol: BGP})
	for _, name := range []string{"a", "b"} {
		h := l.Host(name)
		before := map[int]bool{}
		for _, p := range h.Daemons() {
			before[p.PID()] = true
		}
		if err := h.StopDaemons(ctx); err != nil {
			t.Fatal(err)
		}
		for _, p := range h.Daemons() {
			if p.Running() || p.PID() != 0 {
				t.Errorf("%s on %s runs on", p.Name, name)
			}
			if err := p.Kill(ctx); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("killing what does not run: %v", err)
			}
		}
		if err := h.StartDaemons(ctx); err != nil {
			t.Fatal(err)
		}
		for _, p := range h.Daemons() {
			if before[p.PID()] || p.PID() == 0 {
				t.Errorf("%s on %s was not started again", p.Name, name)
			}
		}
	}
	err := Until(ctx, "the sessions again", l.Router().converged)
	if err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"daemon":   {Options{Daemon: "quagga", Protocol: BGP}, `lab: daemon "quagga" of node a: not bird or frr`},
		"protocol": {Options{Daemon: FRR, Protocol: "eigrp"}, `lab: protocol "eigrp": none of bgp, ospf, isis, rip, babel`},
		"isis":     {Options{Daemon: FRR, Daemons: map[string]string{"b": BIRD}, Protocol: ISIS}, "lab: node b: bird does not speak IS-IS"},
		"root":     {Options{Daemon: BIRD, Protocol: BGP, Root: "/nowhere"}, "lab: root /nowhere: no Debian there: make it with MakeRoot"},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.NeedsRoot(t, "to get as far as the error")
			l, err := New(t.Context(), c.options)
			if err == nil {
				t.Fatal(l.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, not %q", err, c.want)
			}
		})
	}
}

// TestMissing shows what is looked for in the root, and what outside of it.
func TestMissing(t *testing.T) {
	for _, name := range []string{"unbound", "gobgp", "gobgpd", "bgpctl"} {
		drivertest.Program(t, name)
	}
	root := t.TempDir()
	o := Options{Daemon: FRR, Daemons: map[string]string{"a": GoBGP, "b": OpenBGPD, "r": BIRD}, Protocol: BGP, Root: root}
	if err, want := o.Missing(), "bird: not installed in "+root+"\nbirdc: not installed in "+root; err == nil || err.Error() != want {
		t.Errorf("error %v, not %s", err, want)
	}
}

func TestUntil(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := Until(ctx, "the tide", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("too late to tell")
	})
	if want := "waiting for the tide: context deadline exceeded (last: not looked at yet)"; err == nil || err.Error() != want {
		t.Errorf("error %v, not %s", err, want)
	}
}
