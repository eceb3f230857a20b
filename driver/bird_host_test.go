package driver

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// birdProgram finds the bird under test; KEEPCAST_BIRD names another one.
func birdProgram(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath(cmp.Or(os.Getenv("KEEPCAST_BIRD"), "bird"))
	if err != nil {
		birdMissing(t, err.Error())
	}
	return p
}

func birdMissing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("KEEPCAST_REAL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// realBIRD is a BIRD in a network namespace of its own.
type realBIRD struct {
	t       *testing.T
	dir, ns string
	id      string // its router id
	cmd     *exec.Cmd
	ask     *birdControl // of the test, beside that of the driver
}

var birdSpaces atomic.Int32

func newRealBIRD(t *testing.T) *realBIRD {
	t.Helper()
	birdProgram(t)
	if os.Geteuid() != 0 {
		birdMissing(t, "needs root")
	}
	r := &realBIRD{t: t, dir: birdDir(t), id: "10.99.0.1", ns: fmt.Sprintf("kc-bird-%d-%d", os.Getpid(), birdSpaces.Add(1))}
	r.ask = &birdControl{socket: filepath.Join(r.dir, "bird.ctl"), timeout: 20 * time.Second}
	r.ip("netns add " + r.ns)
	t.Cleanup(func() {
		r.stop()
		r.ip("netns del " + r.ns)
		if t.Failed() {
			t.Logf("bird in %s said:\n%s", r.ns, r.log())
		}
	})
	r.ip("-n " + r.ns + " link set lo up")
	return r
}

func (r *realBIRD) ip(words string) {
	r.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
		r.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
}

// host gives it an interface anycast0 with addresses, 192.0.2.99 of which is the
// operator's own, and a configuration that includes the snippet.
func (r *realBIRD) host(protocols string, addrs ...string) *realBIRD {
	r.t.Helper()
	r.ip("-n " + r.ns + " link add anycast0 type ifb")
	r.ip("-n " + r.ns + " link set anycast0 up")
	for _, a := range append(addrs, "192.0.2.99/32") {
		r.ip("-n " + r.ns + " addr add " + a + " dev anycast0")
	}
	r.protocols(protocols)
	return r
}

// protocols writes a configuration that includes the snippet, as it is meant to be.
func (r *realBIRD) protocols(more string) {
	r.t.Helper()
	r.config(`include "` + r.dir + `/keepcast.conf";` + "\n" + more)
}

func (r *realBIRD) config(more string) {
	r.t.Helper()
	birdWrite(r.t, filepath.Join(r.dir, "bird.conf"), "log \""+r.dir+"/bird.log\" all;\nrouter id "+r.id+";\nprotocol device {}\n"+more)
}

// start runs BIRD and waits until it answers.
func (r *realBIRD) start() *realBIRD {
	r.t.Helper()
	r.cmd = exec.Command("ip", "netns", "exec", r.ns, birdProgram(r.t), "-f", "-c", filepath.Join(r.dir, "bird.conf"),
		"-s", r.ask.socket, "-P", filepath.Join(r.dir, "bird.pid"))
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	birdUntil(r.t, "bird answers", func() bool {
		_, err := r.ask.ask(r.t.Context(), "show status")
		return err == nil
	})
	return r
}

// stop kills BIRD, which leaves its socket behind.
func (r *realBIRD) stop() {
	r.ask.close()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// say sends a command and returns the reply as text.
func (r *realBIRD) say(command string) string {
	r.t.Helper()
	reply, err := r.ask.ask(r.t.Context(), command)
	if err != nil && birdCode(err) == 0 {
		r.t.Fatal(err)
	}
	var out strings.Builder
	for _, l := range reply.Lines {
		fmt.Fprintln(&out, l.Text)
	}
	return out.String()
}

// birdWait waits for a condition, and reports false if it gave up.
func birdWait(cond func() bool) bool {
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-late.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

func birdUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !birdWait(cond) {
		t.Fatalf("gave up waiting: %s", what)
	}
}

func birdApply(t *testing.T, b *BIRD, routes ...Route) {
	t.Helper()
	if err := b.Apply(t.Context(), birdRoutes(routes...)); err != nil {
		t.Fatal(err)
	}
}

// birdRefuses is Apply that must fail with that error, SNIPPET and SOCKET and
// DIR standing for the paths.
func birdRefuses(t *testing.T, b *BIRD, want string, routes ...Route) {
	t.Helper()
	want = strings.NewReplacer("SNIPPET", b.Snippet, "SOCKET", b.Socket, "DIR", filepath.Dir(b.Snippet)).Replace(want)
	if err := b.Apply(t.Context(), birdRoutes(routes...)); birdText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// birdSees waits until the driver observes that: "prefix" or "prefix degraded".
func birdSees(t *testing.T, b *BIRD, want ...string) {
	t.Helper()
	var got []string
	if !birdWait(func() bool {
		state, err := b.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, r := range state.Routes {
			words := r.Prefix.String()
			if r.Degraded {
				words += " degraded"
			}
			if r.Presence != Announced {
				words += " " + r.Presence.String()
			}
			got = append(got, words)
		}
		return slices.Equal(got, want)
	}) {
		t.Fatalf("observed %q, want %q", got, want)
	}
}

func birdRender(t *testing.T, b *BIRD, routes ...Route) string {
	t.Helper()
	text, err := b.Render(birdRoutes(routes...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func birdDisk(t *testing.T, b *BIRD) string {
	t.Helper()
	text, err := os.ReadFile(b.Snippet)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// log returns what BIRD logged.
func (r *realBIRD) log() string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "bird.log"))
	return string(text)
}

// configures counts the configurations that BIRD loaded since its first start.
func (r *realBIRD) configures() int { return strings.Count(r.log(), "> Reconfigured") }
