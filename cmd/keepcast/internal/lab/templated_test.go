package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examples is what an operator takes over for a daemon that keepcast drives by a
// template of the operator's: NAME.yaml, and the template that it names.
const examples = "../../../../packaging/examples"

// example is the drivers of an example, with its files in the host's directory.
func example(t *testing.T, h *Host) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, h.lab.options.daemon(h.name)+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Abs(examples)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		"/etc/keepcast/templates", templates, "/var/lib/keepcast/openbgpd.conf", h.Snippet(),
		"/var/lib/keepcast/gobgp.sh", filepath.Join(h.Dir(), "gobgp.sh"), "/etc/bgpd.conf", filepath.Join(h.Dir(), "bgpd.conf"),
	).Replace(string(text))
}

// TestTemplateDriver shows daemons that keepcast does not know, by the examples as
// they are shipped: announce, withdraw, drain without a loss, degrade, a daemon
// that restarts and has forgotten everything.
func TestTemplateDriver(t *testing.T) {
	for _, daemon := range []string{OpenBGPD, GoBGP} {
		t.Run(daemon, func(t *testing.T) {
			o := Options{Daemon: BIRD, Daemons: map[string]string{"a": daemon}, Protocol: BGP}
			s := newStand(t, o, func(h *Host, driver string) string {
				if h.name == "b" {
					return standard(driver)
				}
				return strings.Replace(standard("X"), "drivers:\n  - X\n", example(t, h), 1)
			})
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			s.routed("a")
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.routed("b")
			knows(s.ctx, t, s.Lab, "b")
			s.must(s.process("a", "dns").Start(s.ctx))
			s.routed("a")
			s.drained(s.Host("a"))
			s.degraded(s.Host("a"))

			s.must(s.process("a", daemon).Kill(s.ctx))
			s.routed("b")
			s.must(s.process("a", daemon).Start(s.ctx))
			s.routed("a")
		})
	}
}
