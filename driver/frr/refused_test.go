package frr

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A line of a template that mgmtd could not bring in force was sent again at each attempt,
// and mgmtd 10.3 aborts at about one such line in ten: it was killed again and again, for
// every daemon that it configures.
func TestFRRRefusedOnce(t *testing.T) {
	const (
		list   = "ip prefix-list KEEPCAST seq 5 permit 192.0.2.0/24 le 8"
		line   = "on-match goto 5"
		hint   = "; it is told so again at TIME, or once its configuration has changed, for mgmtd 10.3 may abort when it refuses"
		failed = `mgmtd refused "` + list + `": % Configuration failed. (status 13)` + "HINT\n" + `mgmtd refused "` + line + `": % Configuration failed. (status 13)HINT`
	)
	dir := t.TempDir()
	said := func(command string) string {
		return map[string]string{"show version": "FRRouting 10.3 (vm) on Linux.\n"}[command] + drivertest.VtyDone
	}
	ripd := drivertest.NewVtyServer(t, filepath.Join(dir, "ripd.vty"), said)
	operators, ours := "router rip\n network nh0\n", ""
	answer := func(command string) string {
		switch command {
		case "show running-config":
			return operators + ours + drivertest.VtyDone
		case list, line:
			return "% Configuration failed.\n\x00\x00\x00\x0d"
		case "route-map KEEPCAST deny 10", "route-map KEEPCAST permit 10":
			ours = command + "\n match ip address prefix-list KEEPCAST\n"
		}
		return drivertest.VtyDone
	}
	mgmtd := drivertest.NewVtyServer(t, filepath.Join(dir, "mgmtd.vty"), answer)
	template := "! daemon: ripd\n" + list + "\nroute-map KEEPCAST permit 10\n match ip address prefix-list KEEPCAST\n " + line + "\n"
	if err := os.WriteFile(filepath.Join(dir, "frr.conf.tmpl"), []byte(template), 0o644); err != nil {
		t.Fatal(err)
	}
	f := testFRR(dir, "ripd")
	defer f.Close()
	f.Open(driver.Options{Templates: dir})
	times := 0
	apply := func(after string, sent bool) {
		t.Helper()
		want := strings.ReplaceAll(failed, "HINT", hint)
		if sent {
			times++
			want = strings.ReplaceAll(failed, "HINT", "")
		}
		got := drivertest.ErrText(f.Apply(t.Context(), frrState()))
		if got = regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(got, "TIME"); got != want {
			t.Errorf("%s:\ngot  %v\nwant %s", after, got, want)
		}
		for _, refused := range []string{list, line} {
			if n := strings.Count(mgmtd.Received(), refused); n != times {
				t.Errorf("%s: %q was sent %d times, want %d", after, refused, n, times)
			}
		}
	}
	apply("at first", true)
	apply("again", false)
	before := strings.Count(mgmtd.Received(), enter)
	apply("and again", false)
	if n := strings.Count(mgmtd.Received(), enter); n != before {
		t.Error("the gate was edited for nothing")
	}
	operators += " network nh1\n"
	apply("the operator changed something", true)
	ours = ""
	apply("keepcast's own part is gone", false)
	apply("and mended", false)
	d := f.daemons()[0]
	for range 3 {
		for where, one := range d.refused {
			one.again = time.Now()
			d.refused[where] = one
		}
		apply("it is time", true)
		apply("it was time", false)
	}
	for where, one := range d.refused {
		if left := time.Until(one.again).Round(time.Minute); left != 8*time.Minute {
			t.Errorf("%s: again in %s", where, left)
		}
	}

	ripd.Stop()
	drivertest.NewVtyServer(t, filepath.Join(dir, "ripd.vty"), said)
	apply("ripd was restarted", true)
	mgmtd.Stop()
	mgmtd, times = drivertest.NewVtyServer(t, filepath.Join(dir, "mgmtd.vty"), answer), 0
	apply("mgmtd was restarted", true)
	apply("and again", false)
}
