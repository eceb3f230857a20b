package starter

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Lines without which IPv6 is not announced, or doctor has something to say at once.
func TestSuiteLines(t *testing.T) {
	for name, wants := range map[string][]string{
		"frr with all daemons": {
			` by "vtysh", `,
			"\n address-family ipv6 unicast\n  neighbor fd00::1 activate\n  neighbor fd00::1 route-map KEEPCAST-EBGP out\n",
			"\nrouter ospf\n ospf router-id 10.0.0.11\n redistribute connected route-map KEEPCAST\n timers throttle lsa all 0\n timers throttle spf 0 50 500\n",
			"\nrouter ospf6\n ospf6 router-id 10.0.0.11\n redistribute connected route-map KEEPCAST6\n timers throttle spf 0 50 500\n",
		},
		"frr in a pathspace": {` by "vtysh -N east", `},
		"quagga with all daemons": {
			"\n address-family ipv6\n  redistribute connected route-map KEEPCAST6\n  neighbor fd00::1 activate\n  neighbor fd00::1 route-map KEEPCAST6-EBGP out\n",
			"\n timers throttle spf 0 50 500\n",
		},
	} {
		lines, err := variants(t)[name].Lines()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(lines), want) {
				t.Errorf("%s: no %q in\n%s", name, want, lines)
			}
		}
	}
	text, err := variants(t)["quagga"].Configuration()
	if err != nil || !strings.Contains(string(text), "\n    # as: 65001 #") {
		t.Errorf("%v, no AS in\n%s", err, text)
	}
}

// The real vtysh reads the lines for every daemon.
func TestFRRLinesAreAccepted(t *testing.T) {
	program := needs(t, "vtysh")
	lines, err := variants(t)["frr with all daemons"].Lines()
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		text string
		good bool
	}{
		"the lines":    {string(lines), true},
		"broken lines": {strings.ReplaceAll(string(lines), "fd00::1 activate", "fd00::1 activated"), false},
	} {
		path := filepath.Join(t.TempDir(), "frr.conf")
		write(t, path, tc.text)
		if out, err := exec.Command(program, "-C", "-f", path).CombinedOutput(); (err == nil) != tc.good {
			t.Errorf("%s: %v: %s\n%s", what, err, out, tc.text)
		}
	}
}
