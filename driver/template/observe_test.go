package template

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestTemplateObserveCommand(t *testing.T) {
	tm, dir := daemon(t)
	tm.Verify = []string{"sh", "-c", `echo watch out >&2; cat "$0"/shown`, dir}
	if err := tm.Apply(t.Context(), state(drivertest.Route("203.0.113.1/24", driver.Announced), drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Announced))); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, filepath.Join(dir, "shown"), "# comment\n\n192.0.2.53 via me\n203.0.113.0/24\n198.51.100.0/24\n")
	announces(t, tm, "203.0.113.1/24", drivertest.V4)

	for text, want := range map[string]string{
		"192.0.2.53\nError: no\n": `line 2: "Error:" is neither a prefix nor an address`,
		"fe80::1%eth0\n":          `line 1: "fe80::1%eth0" is neither a prefix nor an address`,
	} {
		drivertest.WriteFile(t, filepath.Join(dir, "shown"), text)
		if _, err := tm.Observe(t.Context()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	tm.Verify = []string{"sh", "-c", "yes 192.0.2.53 | head -c 3000000"}
	if _, err := tm.Observe(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	tm.Verify = []string{"false"}
	if _, err := tm.Observe(t.Context()); err == nil || err.Error() != "observe: false: exit status 1" {
		t.Errorf("got %v", err)
	}
}

// A daemon that lost what it had is reloaded, once for the same difference: one
// that a reload does not mend is not reloaded for ever.
func TestTemplateDaemonLostIt(t *testing.T) {
	tm, dir := daemon(t)
	shown := filepath.Join(dir, "shown")
	tm.Verify = []string{"cat", shown}
	want := state(drivertest.Route(drivertest.V4, driver.Announced), drivertest.Route(drivertest.V6, driver.Delivered))
	for i, step := range []struct {
		shows   string
		reloads int
	}{
		{drivertest.V4 + "\n", 1}, // the first Apply always does
		{drivertest.V4 + "\n", 1}, // all is well
		{"", 2},                   // it restarted
		{"", 2},                   // and has it still not: no use
		{drivertest.V4 + "\n", 2}, // now it has
		{"", 3},                   // it restarted once more
		{drivertest.V4 + "\n" + drivertest.V6, 4}, // it has more than it should
		{"no prefix at all", 4},                   // it can't be asked
	} {
		drivertest.WriteFile(t, shown, step.shows)
		if err := tm.Apply(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got := reloads(t, dir); got != step.reloads {
			t.Errorf("step %d: %d reloads, want %d", i, got, step.reloads)
		}
	}
}

// A daemon that restarts twice, with nothing applied between, is reloaded twice: that
// the first reload helped has been observed.
func TestTemplateDaemonLostItTwice(t *testing.T) {
	tm, dir := daemon(t)
	shown := filepath.Join(dir, "shown")
	tm.Verify = []string{"cat", shown}
	applied := func(want int) {
		t.Helper()
		if err := tm.Apply(t.Context(), state(drivertest.Route(drivertest.V4, driver.Announced))); err != nil {
			t.Fatal(err)
		}
		if got := reloads(t, dir); got != want {
			t.Errorf("%d reloads, want %d", got, want)
		}
	}
	drivertest.WriteFile(t, shown, drivertest.V4)
	applied(1)
	drivertest.WriteFile(t, shown, "") // it restarted,
	applied(2)
	announces(t, tm) // is slow to read what it was given,
	applied(2)
	drivertest.WriteFile(t, shown, drivertest.V4)
	announces(t, tm, drivertest.V4)    // has it,
	drivertest.WriteFile(t, shown, "") // and restarts once more
	applied(3)
}

func FuzzParsePrefixes(f *testing.F) {
	f.Add("192.0.2.53\n# x\n\n2001:db8::/32 via x\n")
	f.Add("::ffff:192.0.2.1/96\n0/0")
	f.Fuzz(func(t *testing.T, out string) {
		seen, err := parsePrefixes(out)
		if err != nil {
			return
		}
		var text []string
		for p := range seen {
			if p != p.Masked() || !p.IsValid() {
				t.Errorf("%q gives %v", out, p)
			}
			text = append(text, p.String())
		}
		again, err := parsePrefixes(strings.Join(text, "\n"))
		if d := cmp.Diff(seen, again, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); err != nil || d != "" {
			t.Errorf("%q read again: %v %s", out, err, d)
		}
	})
}
