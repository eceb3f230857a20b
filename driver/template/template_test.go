package template

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// daemon is a Template with its files in a directory of the test: the check
// passes unless the file holds "bad", the reload copies the file to running
// and notes itself in reloads, unless a file named down is there.
func daemon(t *testing.T) (tm *Driver, dir string) {
	t.Helper()
	dir = t.TempDir()
	tm = &Driver{
		Template: filepath.Join(dir, "routes.tmpl"),
		Output:   filepath.Join(dir, "routes.conf"),
		Check:    []string{"sh", "-c", `! grep bad "$0"`, filepath.Join(dir, "routes.conf")},
		Reload:   []string{"sh", "-c", `cd "$0"; echo x >> reloads; [ ! -e down ] && cp routes.conf running`, dir},
		Timeout:  20 * time.Second,
	}
	drivertest.WriteFile(t, tm.Template, "{{range .Announced}}route {{.Prefix}}{{if .Degraded}} worse{{end}} # {{.Service}}\n{{end}}")
	return tm, dir
}

func reloads(t *testing.T, dir string) int {
	t.Helper()
	b, _ := os.ReadFile(filepath.Join(dir, "reloads"))
	return strings.Count(string(b), "x")
}

func state(rs ...driver.Route) driver.State { return driver.State{Interface: "any0", Routes: rs} }

// unknown checks that it does not claim to know what the daemon announces. After a reload
// that failed it said "nothing", and status "withdrawn", while the daemon, which had read
// nothing, went on announcing.
func unknown(t *testing.T, tm *Driver) {
	t.Helper()
	s, err := tm.Observe(t.Context())
	if !errors.Is(err, errUnloaded) || len(s.Routes) > 0 {
		t.Errorf("announces %v, %v", s.Routes, err)
	}
}

func announces(t *testing.T, tm *Driver, want ...string) {
	t.Helper()
	s, err := tm.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Routes {
		if r.Presence == driver.Announced {
			got = append(got, r.Prefix.String())
		}
	}
	drivertest.Same(t, "observed", want, got)
}

func TestTemplateRender(t *testing.T) {
	tm, _ := daemon(t)
	drivertest.WriteFile(t, tm.Template, `interface {{.Interface}}
{{range .Announced}}announce {{.Prefix}} bits={{.Prefix.Bits}} v4={{.Address.Is4}} {{.Service}} {{.Degraded}}{{with .MED}} med={{.}}{{end}}{{range .Communities}} {{.}}{{end}} on {{.Interface}}
{{end}}{{range .Routes}}{{.Address}} {{.Presence}}{{if eq .Presence "delivered"}}!{{end}}
{{end}}`)
	worse := drivertest.Route("203.0.113.1/24", driver.Announced)
	worse.Degraded, worse.Interface = true, "any1"
	worse.Attributes = driver.Attributes{MED: new(uint32), Communities: []community.Standard{{High: 65535, Low: 0}}}
	got, err := tm.Render(state(drivertest.Route(drivertest.V6, driver.Announced), worse, drivertest.Route("203.0.113.2/24", driver.Announced), drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route("192.0.2.1/32", driver.Absent)))
	if err != nil {
		t.Fatal(err)
	}
	want := `interface any0
announce 203.0.113.0/24 bits=24 v4=true dns true med=0 65535:0 on any1
announce 2001:db8:53::53/128 bits=128 v4=false dns false on any0
192.0.2.1 absent
192.0.2.53 delivered!
203.0.113.1 announced
203.0.113.2 announced
2001:db8:53::53 announced
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

func TestTemplateApply(t *testing.T) {
	tm, dir := daemon(t)
	announces(t, tm)
	step := func(name string, want driver.State, reloaded int, running string) {
		t.Helper()
		if err := tm.Apply(t.Context(), want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := reloads(t, dir); n != reloaded {
			t.Errorf("%s: %d reloads so far, want %d", name, n, reloaded)
		}
		if got := drivertest.ReadFile(t, filepath.Join(dir, "running")); got != running {
			t.Errorf("%s: running %q, want %q", name, got, running)
		}
	}
	one, both := "route 192.0.2.53/32 # dns\n", "route 192.0.2.53/32 # dns\nroute 2001:db8:53::53/128 # dns\n"
	step("the first", state(drivertest.Route(drivertest.V4, driver.Announced)), 1, one)
	announces(t, tm, drivertest.V4)
	step("the same", state(drivertest.Route(drivertest.V4, driver.Announced)), 1, one)
	step("the same text", state(drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Absent)), 1, one)
	step("more", state(drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced)), 2, both)
	announces(t, tm, drivertest.V4, drivertest.V6)

	drivertest.WriteFile(t, tm.Output, "somebody was here\n")
	announces(t, tm)
	step("repaired", state(drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Announced)), 3, both)
	drivertest.WriteFile(t, tm.Template, "# nothing\n")
	step("another template", state(drivertest.Route(drivertest.V4, driver.Announced)), 4, "# nothing\n")
	drivertest.WriteFile(t, tm.Template, "")
	step("an empty one", state(drivertest.Route(drivertest.V4, driver.Delivered)), 5, "")
	step("still empty", state(drivertest.Route(drivertest.V4, driver.Delivered)), 5, "")
	announces(t, tm)

	// A keepcast that starts anew does not know whether the last one got as far
	// as the reload.
	tm = &Driver{Template: tm.Template, Output: tm.Output, Check: tm.Check, Reload: tm.Reload, Timeout: tm.Timeout}
	step("after a restart", state(drivertest.Route(drivertest.V4, driver.Delivered)), 6, "")
	step("and only once", state(drivertest.Route(drivertest.V4, driver.Delivered)), 6, "")
}

func TestTemplateCheckRefuses(t *testing.T) {
	tm, dir := daemon(t)
	good := state(drivertest.Route(drivertest.V4, driver.Announced))
	bad := state(driver.Route{Prefix: netip.MustParsePrefix(drivertest.V6), Service: "bad", Presence: driver.Announced})

	err := tm.Apply(t.Context(), bad)
	if err == nil || !strings.Contains(err.Error(), "exit status 1: route 2001:db8:53::53/128 # bad (the file that was there before is back)") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(tm.Output); !os.IsNotExist(err) {
		t.Errorf("a file that was not there before is left: %v", err)
	}
	if err := tm.Apply(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	old := drivertest.ReadFile(t, tm.Output)
	if err := tm.Apply(t.Context(), bad); err == nil {
		t.Error("no error")
	}
	if got := drivertest.ReadFile(t, tm.Output); got != old {
		t.Errorf("the old file is not back: %q", got)
	}
	announces(t, tm, drivertest.V4)
	if n := reloads(t, dir); n != 1 {
		t.Errorf("%d reloads, want 1: a refused file is not loaded", n)
	}
	if err := tm.Apply(t.Context(), good); err != nil || reloads(t, dir) != 1 {
		t.Errorf("back to what is loaded: %v, %d reloads", err, reloads(t, dir))
	}

	// Left by a keepcast that died before the check: there is nothing to go back to.
	drivertest.WriteFile(t, tm.Output, "route 2001:db8:53::53/128 # bad\n")
	err = tm.Apply(t.Context(), bad)
	if err == nil || !strings.HasSuffix(err.Error(), "(the file was there already and stays)") {
		t.Errorf("got %v", err)
	}
}

func TestTemplateReloadIsRetried(t *testing.T) {
	tm, dir := daemon(t)
	old, changed := state(drivertest.Route(drivertest.V4, driver.Announced)), state(drivertest.Route(drivertest.V6, driver.Announced))
	if err := tm.Apply(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, filepath.Join(dir, "down"), "")
	for n := range 2 {
		err := tm.Apply(t.Context(), changed)
		if err == nil || !strings.HasPrefix(err.Error(), "reload: sh -c ") || !strings.HasSuffix(err.Error(), ": exit status 1") {
			t.Errorf("got %v", err)
		}
		if got := reloads(t, dir); got != n+2 {
			t.Errorf("%d reloads, want %d", got, n+2)
		}
		unknown(t, tm)
	}
	if got := drivertest.ReadFile(t, tm.Output); got != "route 2001:db8:53::53/128 # dns\n" {
		t.Errorf("the daemon will not find the new file when it starts: %q", got)
	}
	// It may have read the new file in part: going back needs a reload too, also
	// when somebody else has put the old file back.
	drivertest.WriteFile(t, tm.Output, "route 192.0.2.53/32 # dns\n")
	unknown(t, tm)
	if err := os.Remove(filepath.Join(dir, "down")); err != nil {
		t.Fatal(err)
	}
	if err := tm.Apply(t.Context(), old); err != nil || reloads(t, dir) != 4 {
		t.Errorf("%v, %d reloads", err, reloads(t, dir))
	}
	announces(t, tm, drivertest.V4)
}

func TestTemplateValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Driver)
		want   string
	}{
		"good":           {func(*Driver) {}, ""},
		"relative":       {func(m *Driver) { m.Output = "x.conf" }, `output: "x.conf" is no absolute path`},
		"itself":         {func(m *Driver) { m.Output = m.Template }, "output: the template itself would be overwritten"},
		"no program":     {func(m *Driver) { m.Check = []string{"", "x"} }, "check: the first word, the program, is empty"},
		"unknown field":  {func(m *Driver) { drivertest.WriteFile(t, m.Template, "{{range .Routes}}{{.Pefix}}{{end}}") }, "can't evaluate field Pefix"},
		"syntax":         {func(m *Driver) { drivertest.WriteFile(t, m.Template, "{{range}}") }, "missing value for range"},
		"missing file":   {func(m *Driver) { m.Template += "x" }, "reading the template: open "},
		"two in one go":  {func(m *Driver) { m.Template, m.Output = "a", "b" }, "template: \"a\" is no absolute path\noutput: \"b\" is no absolute path"},
		"empty template": {func(m *Driver) { drivertest.WriteFile(t, m.Template, "") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tm, _ := daemon(t)
			c.change(tm)
			err := tm.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTemplateMissingDirectory(t *testing.T) {
	tm, dir := daemon(t)
	tm.Output = filepath.Join(dir, "none", "routes.conf")
	err := tm.Apply(t.Context(), state())
	want := "directory of the snippet: stat " + filepath.Join(dir, "none") + ": no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestTemplateIsAKind(t *testing.T) {
	k := Kind()
	if _, ok := k.New().(driver.Renderer); !ok {
		t.Error("it renders, and is no Renderer")
	}
	if _, ok := k.New().(driver.Validator); !ok {
		t.Error("it validates, and is no Validator")
	}
}

func TestTemplateCancelled(t *testing.T) {
	tm, _ := daemon(t)
	tm.Check = nil
	tm.Reload = []string{"sleep", "1000"}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tm.Apply(ctx, state()); err == nil {
		t.Error("no error")
	}
}
