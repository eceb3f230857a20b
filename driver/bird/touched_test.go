package bird

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A snippet that was edited by hand, with the fingerprint as it was, and loaded by birdc
// stayed in force for ever: a route was gone, or a foreign one was announced, and status
// said in step.
func TestRealEdited(t *testing.T) {
	dns := routeOf("192.0.2.53/32", driver.Announced)
	for name, edit := range map[string]func(t *testing.T, b *Driver, r *realBIRD){
		"and left": func(*testing.T, *Driver, *realBIRD) {},
		"and put back": func(t *testing.T, b *Driver, _ *realBIRD) {
			drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, dns))
		},
		"and loaded while bird.conf is broken": func(t *testing.T, b *Driver, r *realBIRD) {
			r.Protocols(birdStatics + "nonsense;\n")
			if err := b.Apply(t.Context(), stateOf(dns)); ctl.RefusalCode(err) != ctl.CodeConfigError {
				t.Fatal(err)
			}
			r.Protocols(birdStatics)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, b := readyDriver(t, "192.0.2.53/32")
			applyRoutes(t, b, dns)
			observes(t, b, "192.0.2.53/32")
			edited := strings.Replace(onDisk(t, b), "    192.0.2.53/32\n", "    192.0.2.99/32\n", 1)
			drivertest.WriteFile(t, b.Snippet, edited)
			r.Say("configure")
			foreign := func() bool { return strings.Contains(r.Say("show route table master4"), "192.0.2.99") }
			drivertest.Eventually(t, "the edit is in force", foreign)
			edit(t, b, r)
			applyRoutes(t, b, dns)
			observes(t, b, "192.0.2.53/32")
			if foreign() {
				t.Error("what the edit let out is still out")
			}
			n := r.Configures()
			applyRoutes(t, b, dns)
			if r.Configures() != n {
				t.Error("loaded again without need")
			}
		})
	}
}

// bird.conf is broken when a service goes, which puts the old snippet back, and the service
// is back before that is mended: nothing is to be loaded.
func TestRealPutBack(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	dns := routeOf("192.0.2.53/32", driver.Announced)
	applyRoutes(t, b, dns)
	r.Protocols(birdStatics + "nonsense;\n")
	if err := b.Apply(t.Context(), stateOf()); ctl.RefusalCode(err) != ctl.CodeConfigError {
		t.Fatal(err)
	}
	applyRoutes(t, b, dns)
	observes(t, b, "192.0.2.53/32")
}

// The operator's "birdc configure timeout" undoes what locked him out. A load of keepcast's
// ended the wait, and the host stayed cut off.
func TestRealUndo(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32", "192.0.2.54/32")
	dns, two := routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced)
	applyRoutes(t, b, dns)
	undone := func() bool { return strings.Contains(r.Log(), "Config timeout expired") }
	r.Say("configure timeout 3")
	err := b.Apply(t.Context(), stateOf())
	if f, ok := errors.AsType[driver.Finding](err); undone() || !ok || f.Name != "undo-pending" {
		t.Errorf("a gate that only closes: %v", err)
	}
	if s, err := b.Observe(t.Context()); !undone() && (err != nil || !slices.Contains(namesOf(s.Findings), "undo-pending warning bird")) {
		t.Errorf("%v %v", namesOf(s.Findings), err)
	}
	drivertest.Eventually(t, "the undo", undone)
	applyRoutes(t, b)
	observes(t, b)
	r.Say("configure timeout 60")
	applyRoutes(t, b, two) // which must not wait
	observes(t, b, "192.0.2.54/32")
	if out := r.Say("configure status"); strings.Contains(out, "unconfirmed") {
		t.Error(out)
	}
}

// An edit of bird.conf that nobody loaded is put in force by the next load of keepcast's,
// or stands in its way. Nothing told of it before that.
func TestRealUnloaded(t *testing.T) {
	r, b := readyDriver(t, "192.0.2.53/32")
	conf, more := filepath.Join(r.Dir, "bird.conf"), filepath.Join(r.Dir, "more.conf")
	drivertest.WriteFile(t, more, "")
	r.Protocols(birdStatics + "include \"more.conf\";\n")
	r.Say("configure")
	r.finds(b)
	write := func(path, text string) {
		t.Helper()
		drivertest.WriteFile(t, path, text)
		later := time.Now().Add(2 * time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	found := func(want ...string) {
		t.Helper()
		s, err := b.Observe(t.Context())
		if d := cmp.Diff(want, namesOf(s.Findings)); d != "" || err != nil {
			t.Error(err, d)
		}
	}
	old := drivertest.ReadFile(t, conf)
	write(conf, old+"# more\n")
	found("configuration-unloaded warning bird")
	write(more, "nonsense;\n")
	found("configuration-refused error bird")
	write(more, "# mended\n")
	found("configuration-unloaded warning bird")
	drivertest.Eventually(t, "it is loaded", func() bool {
		r.Say("configure")
		s, err := b.Observe(t.Context())
		return err == nil && len(s.Findings) == 0
	})
}

func TestLoadedAt(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		status string
		want   time.Time
		ok     bool
	}{
		"another time zone": {"1011-Current server time is 2026-11-25 20:00:10.500\n Last reconfiguration on 2026-11-25 20:00:00.000\n0013 \n", now.Add(-10500 * time.Millisecond), true},
		"own format":        {"1011-Current server time is 20:00:10\n Last reconfiguration on 20:00:00\n0013 \n", now, false},
		"not told":          {"0013 \n", now, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := loadedAt(replyOf(t, tc.status), now); !got.Equal(tc.want) || ok != tc.ok {
				t.Errorf("%s %v, want %s %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}
