package driver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const birdStatics = "protocol static st { ipv4; route 198.51.100.0/24 unreachable; }\n"

// readyBIRD is a running BIRD that loaded a snippet without routes, and its driver.
func readyBIRD(t *testing.T, addrs ...string) (*realBIRD, *BIRD) {
	t.Helper()
	r := newRealBIRD(t).host(birdStatics, addrs...)
	b := testBIRD(r.dir)
	t.Cleanup(func() { b.Close() })
	birdWrite(t, b.Snippet, birdRender(t, b))
	return r.start(), b
}

func TestBIRDRealGate(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32", "203.0.113.1/24", "2001:db8:53::53/128")
	dns, net := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("203.0.113.1/24", Announced)
	dns6, gone := birdRouteOf("2001:db8:53::53/128", Announced), birdRouteOf("192.0.2.53/32", Delivered)

	birdApply(t, b, gone)
	birdSees(t, b)
	birdApply(t, b, dns, net, dns6)
	birdSees(t, b, "192.0.2.53/32", "203.0.113.1/24", "2001:db8:53::53/128")
	if out := r.say("show route"); strings.Contains(out, "192.0.2.99") || !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("the operator's address passes the gate, or his route does not:\n%s", out)
	}
	birdApply(t, b, gone, net, dns6)
	birdSees(t, b, "203.0.113.1/24", "2001:db8:53::53/128")
	birdApply(t, b, birdDegraded("192.0.2.53/32"), net, dns6)
	birdSees(t, b, "192.0.2.53/32 degraded", "203.0.113.1/24", "2001:db8:53::53/128")
	out := r.say("show route 192.0.2.53/32 all")
	for _, want := range []string{"med: 1000", "local_pref: 50", "metric2: 20000", "keepcast_prepend: 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("degraded without %s:\n%s", want, out)
		}
	}

	// A driver that starts anew sees what there is before it is asked for anything.
	fresh := testBIRD(r.dir)
	defer fresh.Close()
	birdSees(t, fresh, "192.0.2.53/32", "203.0.113.0/24", "2001:db8:53::53/128")
}

// What is in force is not loaded again, whoever loaded it; what is not, is, also
// when the file has it already.
func TestBIRDRealIdempotent(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	dns := birdRouteOf("192.0.2.53/32", Announced)
	birdApply(t, b)
	birdApply(t, b)
	if n := r.configures(); n != 0 {
		t.Errorf("%d configures for what BIRD started with", n)
	}
	birdApply(t, b, dns)
	birdApply(t, b, dns)
	if n := r.configures(); n != 1 {
		t.Errorf("%d configures for one change", n)
	}
	open := birdDisk(t, b)
	birdWrite(t, b.Snippet, birdRender(t, b)) // somebody loads an old copy
	r.say("configure")
	birdSees(t, b)
	birdWrite(t, b.Snippet, open) // and puts the new one back, without loading it
	birdApply(t, b, dns)
	birdSees(t, b, "192.0.2.53/32")
	birdWrite(t, b.Snippet, "edited, not loaded")
	birdApply(t, b, dns)
	if n := r.configures(); n != 3 || birdDisk(t, b) != open {
		t.Errorf("%d configures, want 3; on disk:\n%s", n, birdDisk(t, b))
	}
}

// An operator's direct protocol on the same interface must not win over ours:
// the exports would not know its route.
func TestBIRDRealOtherDirect(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	r.protocols("protocol direct mine { ipv4; ipv6; }\n" + birdStatics)
	r.say("configure")
	birdUntil(t, "the other route", func() bool { return strings.Contains(r.say("show route 192.0.2.53/32"), "[mine") })
	birdSees(t, b)
	birdApply(t, b, birdRouteOf("192.0.2.53/32", Announced))
	birdSees(t, b, "192.0.2.53/32")
	// A route that does win is not announced as ours, and not observed as such.
	r.protocols("protocol static mine { ipv4 { preference 250; }; route 192.0.2.53/32 unreachable; }\n")
	r.say("configure")
	birdSees(t, b)
}

func TestBIRDRealRefused(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	old := birdDisk(t, b)
	good, err := os.ReadFile(filepath.Join(r.dir, "bird.conf"))
	if err != nil {
		t.Fatal(err)
	}
	birdWrite(t, filepath.Join(r.dir, "bird.conf"), string(good)+"nonsense;\n")
	dns := birdRouteOf("192.0.2.53/32", Announced)
	want := `bird's configuration is at fault outside of keepcast's snippet, correct it there (the old snippet is back in place): ` +
		`bird refuses "configure check": DIR/bird.conf:6:1 syntax error, unexpected CF_SYM_UNDEFINED (code 8002)`
	birdRefuses(t, b, want, dns)
	if birdDisk(t, b) != old {
		t.Error("the old snippet is not back")
	}
	birdSees(t, b)
	birdWrite(t, filepath.Join(r.dir, "bird.conf"), string(good))
	birdApply(t, b, dns)
	birdSees(t, b, "192.0.2.53/32")

	// The operator's template is what is wrong.
	old = birdDisk(t, b)
	own := t.TempDir()
	birdWrite(t, filepath.Join(own, birdTemplate), "define keepcast_state = \"{{.State}}\";\nrubbish;\nattribute int keepcast_announced;\n")
	b.SetHost(Host{Log: b.host.Log, Templates: own})
	err = b.Apply(t.Context(), birdRoutes(birdDegraded("192.0.2.53/32")))
	if err == nil || !strings.HasPrefix(err.Error(), "keepcast's snippet is at fault (the old snippet is back in place): ") ||
		!strings.Contains(err.Error(), b.Snippet+":2:") {
		t.Error(err)
	}
	if birdDisk(t, b) != old {
		t.Error("the old snippet is not back")
	}
	birdSees(t, b, "192.0.2.53/32") // not degraded, since that is not in force
}

// BIRD is away when the state changes, and comes up with the right one.
func TestBIRDRealAway(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32", "192.0.2.54/32")
	dns, two := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("192.0.2.54/32", Announced)
	birdApply(t, b, dns, two)
	r.stop()
	birdRefuses(t, b, "bird is not running: dial unix SOCKET: connect: connection refused (the snippet is in place for when it starts)", dns)
	if _, err := b.Observe(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("observed without bird: %v", err)
	}
	os.Remove(b.Socket)
	birdRefuses(t, b, "bird is not running: dial unix SOCKET: connect: no such file or directory (the snippet is in place for when it starts)", two)
	r.start()
	birdSees(t, b, "192.0.2.54/32")
	n := r.configures()
	birdApply(t, b, two)
	if r.configures() != n {
		t.Error("configured although it started with the right snippet")
	}
	// Restarted between two commands, by somebody who brought an old file along.
	r.stop()
	birdWrite(t, b.Snippet, birdRender(t, b))
	r.start()
	birdApply(t, b, two)
	birdSees(t, b, "192.0.2.54/32")
}

func TestBIRDRealInclude(t *testing.T) {
	r := newRealBIRD(t).host("", "192.0.2.53/32")
	b := testBIRD(r.dir)
	defer b.Close()
	r.config(birdStatics)
	r.start()
	dns := birdRouteOf("192.0.2.53/32", Announced)
	missing := `bird: its configuration does not include keepcast's snippet: add the line 'include "SNIPPET";' to bird.conf, above its protocols, then run birdc configure`
	birdRefuses(t, b, missing, dns)
	birdRefuses(t, b, missing, dns)
	if n := r.configures(); n != 1 {
		t.Errorf("%d configures, of which all but one are in vain", n)
	}
	birdSees(t, b)

	_, state, _ := b.render(birdRoutes(dns))
	birdWrite(t, filepath.Join(r.dir, "copy.conf"), birdRender(t, b))
	r.config(`include "` + r.dir + `/copy.conf";` + "\n")
	r.say("configure")
	_, copied, _ := b.render(birdRoutes())
	another := `bird: runs another snippet (keepcast_state "` + copied + `") than SNIPPET ("` + state + `"): correct the include line in bird.conf, then run birdc configure`
	birdRefuses(t, b, another, dns)
	n := r.configures()
	birdRefuses(t, b, another, dns)
	if r.configures() != n {
		t.Error("configured once more in vain")
	}

	r.config(`include "` + r.dir + `/keepcast.conf";` + "\n")
	r.say("configure")
	birdApply(t, b, dns)
	birdSees(t, b, "192.0.2.53/32")
}

// A protocol that somebody disabled stays so, but does not go unsaid.
func TestBIRDRealDisabled(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	dns := birdRouteOf("192.0.2.53/32", Announced)
	birdApply(t, b, dns)
	r.say("disable keepcast_pipe4")
	birdRefuses(t, b, "bird protocol keepcast_pipe4: is down, so what it carries is not announced: if that is not meant, run birdc enable keepcast_pipe4", dns)
	birdSees(t, b)
	r.say("enable keepcast_pipe4")
	birdApply(t, b, dns)
	birdSees(t, b, "192.0.2.53/32")
}

// A snippet that cannot be written leaves BIRD and the file alone.
func TestBIRDRealUnwritable(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	old := birdDisk(t, b)
	dns := birdRouteOf("192.0.2.53/32", Announced)
	asNobody(t, func() {
		if err := b.Apply(t.Context(), birdRoutes(dns)); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), b.Snippet) {
			t.Error(err)
		}
	})
	b.Snippet = filepath.Join(r.dir, "no", "keepcast.conf")
	if err := b.Apply(t.Context(), birdRoutes(dns)); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/no") {
		t.Error(err)
	}
	b.Snippet = filepath.Join(r.dir, "keepcast.conf")
	if n := r.configures(); n != 0 || birdDisk(t, b) != old {
		t.Errorf("%d configures, the file:\n%s", n, birdDisk(t, b))
	}
}

func TestBIRDRealForbidden(t *testing.T) {
	_, b := readyBIRD(t)
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
		if birdText(err) != want || errors.Is(err, ErrNotRunning) {
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
