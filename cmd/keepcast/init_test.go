package main

import (
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/starter"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestOrigin(t *testing.T) {
	bird := starter.Daemon{Kind: "bird", Title: "BIRD", Found: "/run/bird/bird.ctl", Running: true}
	frr := starter.Daemon{Kind: "frr", Title: "FRR", Found: "/usr/lib/frr/zebra"}
	for want, tt := range map[string]struct {
		d      starter.Daemon
		others []starter.Daemon
	}{
		"For BIRD, which runs here (/run/bird/bird.ctl).":                                                               {bird, nil},
		"For FRR, which is installed here (/usr/lib/frr/zebra), but does not run.":                                      {frr, nil},
		"For Quagga, which was not found here, with its usual places.":                                                  {starter.Daemon{Title: "Quagga"}, nil},
		"For BIRD, which runs here (/run/bird/bird.ctl). FRR is here too (/usr/lib/frr/zebra): for that, --daemon frr.": {bird, []starter.Daemon{frr}},
	} {
		if got := origin(tt.d, tt.others); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// The lines for the daemon stay out of the file that the output is directed to.
func TestInitNotes(t *testing.T) {
	code, out, errs := keepcastSays(t, "init", "--daemon", "bird", "--root", t.TempDir())
	if code != exitOK || !strings.HasPrefix(errs, "\nFor BIRD, which was not found here, with its usual places.\n\n") || strings.Contains(out, "For BIRD") {
		t.Errorf("exit code %d, got %s%s", code, out, errs)
	}
}

// Where no file can be made, not even root's, the error says so.
func TestWriteNew(t *testing.T) {
	const path = "/proc/self/keepcast.yaml"
	if got, want := drivertest.ErrText(writeNew(path, nil)), "configuration: open "+path+": "; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
