package bird

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const birdStatics = "protocol static st { ipv4; route 198.51.100.0/24 unreachable; }\n"

// readyDriver is a running BIRD that loaded a snippet without routes, and its driver.
func readyDriver(t *testing.T, addrs ...string) (*realBIRD, *Driver) {
	t.Helper()
	r := newRealBIRD(t).host(birdStatics, addrs...)
	b := testDriver(r.Dir)
	t.Cleanup(func() { b.Close() })
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	return r.start(), b
}

func TestRealGate(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32", "203.0.113.1/24", "2001:db8:53::53/128")
	dns, net := routeOf("192.0.2.53/32", driver.Announced), routeOf("203.0.113.1/24", driver.Announced)
	dns6, gone := routeOf("2001:db8:53::53/128", driver.Announced), routeOf("192.0.2.53/32", driver.Delivered)

	applyRoutes(t, b, gone)
	observes(t, b)
	applyRoutes(t, b, dns, net, dns6)
	observes(t, b, "192.0.2.53/32", "203.0.113.1/24", "2001:db8:53::53/128")
	if out := r.Say("show route"); strings.Contains(out, "192.0.2.99") || !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("the operator's address passes the gate, or his route does not:\n%s", out)
	}
	applyRoutes(t, b, gone, net, dns6)
	observes(t, b, "203.0.113.1/24", "2001:db8:53::53/128")
	applyRoutes(t, b, degradedRoute("192.0.2.53/32"), net, dns6)
	observes(t, b, "192.0.2.53/32 degraded", "203.0.113.1/24", "2001:db8:53::53/128")
	out := r.Say("show route 192.0.2.53/32 all")
	for _, want := range []string{"med: 1000", "local_pref: 50", "metric2: 20000", "keepcast_prepend: 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("degraded without %s:\n%s", want, out)
		}
	}

	// A driver that starts anew sees what there is before it is asked for anything.
	fresh := testDriver(r.Dir)
	defer fresh.Close()
	observes(t, fresh, "192.0.2.53/32", "203.0.113.0/24", "2001:db8:53::53/128")
}

// What is in force is not loaded again, whoever loaded it; what is not, is, also
// when the file has it already.
func TestRealIdempotent(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	dns := routeOf("192.0.2.53/32", driver.Announced)
	applyRoutes(t, b)
	applyRoutes(t, b)
	if n := r.Configures(); n != 0 {
		t.Errorf("%d configures for what BIRD started with", n)
	}
	applyRoutes(t, b, dns)
	applyRoutes(t, b, dns)
	if n := r.Configures(); n != 1 {
		t.Errorf("%d configures for one change", n)
	}
	open := onDisk(t, b)
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b)) // somebody loads an old copy
	r.Say("configure")
	observes(t, b)
	drivertest.WriteFile(t, b.Snippet, open) // and puts the new one back, without loading it
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")
	drivertest.WriteFile(t, b.Snippet, "edited, not loaded")
	applyRoutes(t, b, dns)
	// What was edited may have been loaded, so that it is loaded anew.
	if n := r.Configures(); n != 4 || onDisk(t, b) != open {
		t.Errorf("%d configures, want 4; on disk:\n%s", n, onDisk(t, b))
	}
}

// An operator's direct protocol on the same interface must not win over ours:
// the exports would not know its route.
func TestRealOtherDirect(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	r.Protocols("protocol direct mine { ipv4; ipv6; }\n" + birdStatics)
	r.Say("configure")
	drivertest.Eventually(t, "the other route", func() bool { return strings.Contains(r.Say("show route 192.0.2.53/32"), "[mine") })
	observes(t, b)
	applyRoutes(t, b, routeOf("192.0.2.53/32", driver.Announced))
	observes(t, b, "192.0.2.53/32")
	// A route that does win is not announced as ours, and not observed as such.
	r.Protocols("protocol static mine { ipv4 { preference 250; }; route 192.0.2.53/32 unreachable; }\n")
	r.Say("configure")
	observes(t, b)
}

func TestRealRefused(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	old := onDisk(t, b)
	good, err := os.ReadFile(filepath.Join(r.Dir, "bird.conf"))
	if err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, filepath.Join(r.Dir, "bird.conf"), string(good)+"nonsense;\n")
	dns := routeOf("192.0.2.53/32", driver.Announced)
	want := `bird's configuration is at fault outside of keepcast's snippet, correct it there (the old snippet is back in place): ` +
		`bird refuses "configure check": DIR/bird.conf:6:1 syntax error, unexpected CF_SYM_UNDEFINED (code 8002)`
	refuses(t, b, want, dns)
	if onDisk(t, b) != old {
		t.Error("the old snippet is not back")
	}
	observes(t, b)
	drivertest.WriteFile(t, filepath.Join(r.Dir, "bird.conf"), string(good))
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")

	// The operator's template is what is wrong.
	old = onDisk(t, b)
	own := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(own, templateName), "define keepcast_state = \"{{.State}}\";\nrubbish;\nattribute int keepcast_announced;\n")
	b.Open(driver.Options{Log: b.opts.Log, Templates: own})
	err = b.Apply(t.Context(), stateOf(degradedRoute("192.0.2.53/32")))
	if err == nil || !strings.HasPrefix(err.Error(), "keepcast's snippet is at fault (the old snippet is back in place): ") ||
		!strings.Contains(err.Error(), b.Snippet+":2:") {
		t.Error(err)
	}
	if onDisk(t, b) != old {
		t.Error("the old snippet is not back")
	}
	observes(t, b, "192.0.2.53/32") // not degraded, since that is not in force
}

// BIRD is away when the state changes, and comes up with the right one.
func TestRealAway(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32", "192.0.2.54/32")
	dns, two := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced)
	applyRoutes(t, b, dns, two)
	r.Stop()
	refuses(t, b, "bird is not running: dial unix SOCKET: connect: connection refused (the snippet is in place for when it starts)", dns)
	if _, err := b.Observe(t.Context()); !errors.Is(err, driver.ErrNotRunning) {
		t.Errorf("observed without bird: %v", err)
	}
	os.Remove(b.Socket)
	refuses(t, b, "bird is not running: dial unix SOCKET: connect: no such file or directory (the snippet is in place for when it starts)", two)
	r.start()
	observes(t, b, "192.0.2.54/32")
	n := r.Configures()
	applyRoutes(t, b, two)
	if r.Configures() != n {
		t.Error("configured although it started with the right snippet")
	}
	// Restarted between two commands, by somebody who brought an old file along.
	r.Stop()
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	r.start()
	applyRoutes(t, b, two)
	observes(t, b, "192.0.2.54/32")
}

func TestRealInclude(t *testing.T) {
	r := newRealBIRD(t).host("", "192.0.2.53/32")
	b := testDriver(r.Dir)
	defer b.Close()
	r.Config(birdStatics)
	r.start()
	dns := routeOf("192.0.2.53/32", driver.Announced)
	missing := `bird: its configuration does not include keepcast's snippet: add the line 'include "SNIPPET";' to bird.conf, above its protocols, then run birdc configure`
	refuses(t, b, missing, dns)
	refuses(t, b, missing, dns)
	if n := r.Configures(); n != 1 {
		t.Errorf("%d configures, of which all but one are in vain", n)
	}
	observes(t, b)

	_, state, _ := b.render(stateOf(dns))
	drivertest.WriteFile(t, filepath.Join(r.Dir, "copy.conf"), renderRoutes(t, b))
	r.Config(`include "` + r.Dir + `/copy.conf";` + "\n")
	r.Say("configure")
	_, copied, _ := b.render(stateOf())
	another := `bird: runs another snippet (keepcast_state "` + copied + `") than SNIPPET ("` + state + `"): correct the include line in bird.conf, then run birdc configure`
	refuses(t, b, another, dns)
	n := r.Configures()
	refuses(t, b, another, dns)
	if r.Configures() != n {
		t.Error("configured once more in vain")
	}

	r.Config(`include "` + r.Dir + `/keepcast.conf";` + "\n")
	r.Say("configure")
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")
}

// A protocol that somebody disabled stays so, but does not go unsaid.
func TestRealDisabled(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	dns := routeOf("192.0.2.53/32", driver.Announced)
	applyRoutes(t, b, dns)
	r.Say("disable keepcast_pipe4")
	// BIRD 3 answers before it is.
	drivertest.Eventually(t, "it is down", func() bool { return strings.Contains(r.Say("show protocols keepcast_pipe4"), " down ") })
	refuses(t, b, "bird protocol keepcast_pipe4: is down, so what it carries is not announced: if that is not meant, run birdc enable keepcast_pipe4", dns)
	observes(t, b)
	r.Say("enable keepcast_pipe4")
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")
}

// A snippet that cannot be written leaves BIRD and the file alone.
func TestRealUnwritable(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	old := onDisk(t, b)
	dns := routeOf("192.0.2.53/32", driver.Announced)
	asNobody(t, func() {
		if err := b.Apply(t.Context(), stateOf(dns)); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), b.Snippet) {
			t.Error(err)
		}
	})
	b.Snippet = filepath.Join(r.Dir, "no", "keepcast.conf")
	if err := b.Apply(t.Context(), stateOf(dns)); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/no") {
		t.Error(err)
	}
	b.Snippet = filepath.Join(r.Dir, "keepcast.conf")
	if n := r.Configures(); n != 0 || onDisk(t, b) != old {
		t.Errorf("%d configures, the file:\n%s", n, onDisk(t, b))
	}
}

func TestRealForbidden(t *testing.T) {
	_, b := readyDriver(t)
	dir := filepath.Dir(b.Socket)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chmod(b.Socket, 0o660), os.Chown(b.Socket, 0, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		_, err := b.Observe(t.Context())
		want := "bird's control socket: dial unix " + b.Socket + ": connect: permission denied: " +
			"add the user that keepcast runs as to group daemon (mode of the socket is 0660) and restart keepcast"
		if drivertest.ErrText(err) != want || errors.Is(err, driver.ErrNotRunning) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

// asNobody runs f on a thread that has no more rights on files than nobody.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its rights
		err := errors.Join(unix.Setfsgid(65534), unix.Setfsuid(65534))
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
