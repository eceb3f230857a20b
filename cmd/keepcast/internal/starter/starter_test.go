package starter

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird"
)

// rootWith makes a root directory with these files; a name that ends in "=" is a
// socket that somebody listens at, in "~" one that was left behind.
func rootWith(t *testing.T, files map[string]string) Host {
	t.Helper()
	root, err := os.MkdirTemp("", "kc-init-") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for name, text := range files {
		path := filepath.Join(root, strings.TrimRight(name, "=~"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if path == filepath.Join(root, name) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if strings.HasSuffix(name, "~") {
			l.Close()
		} else {
			t.Cleanup(func() { l.Close() })
		}
	}
	return Host{Root: root}
}

func TestFind(t *testing.T) {
	frr := Daemon{Kind: "frr", Conf: "/etc/frr/frr.conf", Snippet: "/var/lib/keepcast/frr.conf", Directory: "/run/frr", Daemons: []string{"bgpd"}}
	bird := Daemon{Kind: "bird", Socket: "/run/bird/bird.ctl", Conf: "/etc/bird/bird.conf", Snippet: "/var/lib/keepcast/bird.conf"}
	for name, tc := range map[string]struct {
		files map[string]string
		want  []Daemon
	}{
		"nothing": {},
		"frr runs, bird is installed": {
			map[string]string{
				"run/frr/zebra.vty=": "", "run/frr/isisd.vty=": "", "run/frr/ospfd.vty=": "", "run/frr/bgpd.vty~": "", "usr/sbin/bird": "",
			},
			[]Daemon{
				with(frr, func(d *Daemon) {
					d.Running, d.Found, d.Daemons = true, "/run/frr/isisd.vty", []string{"isisd", "ospfd"}
				}),
				with(bird, func(d *Daemon) { d.Found = "/usr/sbin/bird" }),
			},
		},
		"frr runs in pathspaces": {
			map[string]string{
				"run/frr/zebra.vty=": "", "run/frr/east/bgpd.vty=": "", "run/frr/east/ospfd.vty=": "", "run/frr/east/zebra.vty=": "", "run/frr/west/isisd.vty=": "",
			},
			[]Daemon{with(frr, func(d *Daemon) {
				d.Running, d.Found, d.Directory, d.Conf = true, "/run/frr/east/bgpd.vty", "/run/frr/east", "/etc/frr/east/frr.conf"
				d.Daemons = []string{"bgpd", "ospfd"}
			})},
		},
		"frr runs, and one in a pathspace": {
			map[string]string{"run/frr/bgpd.vty=": "", "run/frr/east/ospfd.vty=": ""},
			[]Daemon{with(frr, func(d *Daemon) { d.Running, d.Found = true, "/run/frr/bgpd.vty" })},
		},
		"frr is enabled": {
			map[string]string{"usr/lib/frr/zebra": "", "etc/frr/daemons": "bgpd=no\nospfd=yes\n#isisd=yes\nospf6d=\"yes\"\nvtysh_enable=yes\n"},
			[]Daemon{with(frr, func(d *Daemon) { d.Found, d.Daemons = "/usr/lib/frr/zebra", []string{"ospfd", "ospf6d"} })},
		},
		"frr is new": {
			map[string]string{"usr/lib/frr/zebra": ""},
			[]Daemon{with(frr, func(d *Daemon) { d.Found = "/usr/lib/frr/zebra" })},
		},
		"bird at an odd place": {
			map[string]string{"etc/bird.conf": "", "usr/sbin/bird": "", "var/run/bird.ctl~": ""},
			[]Daemon{with(bird, func(d *Daemon) {
				d.Found, d.Conf = "/usr/sbin/bird", "/etc/bird.conf"
			})},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, looked := rootWith(t, tc.files).Find(t.Context())
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if all := strings.Join(looked, " "); !strings.Contains(all, "/run/bird/bird.ctl") || !strings.Contains(all, "/usr/lib/frr/zebra") {
				t.Errorf("looked at %s", all)
			}
		})
	}
}

func with(d Daemon, change func(*Daemon)) Daemon {
	change(&d)
	return d
}

// variants are daemons as they are found, and as little is known of them.
func variants(t *testing.T) map[string]Daemon {
	t.Helper()
	none := Host{Root: "/nonexistent"}
	all := map[string]Daemon{}
	for _, kind := range Kinds() {
		d := none.Daemon(t.Context(), kind)
		all[kind] = d
		if kind != "bird" {
			d.Daemons = drivable(kind)
			all[kind+" with all daemons"] = d
		}
	}
	all["frr in a pathspace"] = with(all["frr"], func(d *Daemon) { d.Directory = "/run/frr/east" })
	running := all["bird"]
	running.Running, running.Found = true, running.Socket
	running.Protocols = []bird.RoutingProtocol{
		{Name: "upstream", Kind: "bgp", AS: 65001, NeighborAS: 65002},
		{Name: "mirror", Kind: "bgp", AS: 65001, NeighborAS: 65001},
		{Name: "core", Kind: "ospf"},
	}
	all["bird that runs"] = running
	return all
}

// What init writes is valid as it is, and what is commented out in it, too.
func TestConfigurationIsValid(t *testing.T) {
	for name, d := range variants(t) {
		text, err := d.Configuration()
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"as it is": string(text), "with its examples": uncommented(string(text))} {
			path := filepath.Join(t.TempDir(), "keepcast.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(path)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", name, what, err, text)
				continue
			}
			if what == "with its examples" && (len(cfg.Services) != 2 || len(cfg.Services[0].Checks) != 3) {
				t.Errorf("%s: an example is missing:\n%s", name, text)
			}
		}
		if !strings.Contains(string(text), "CHANGE ME") {
			t.Errorf("%s: nothing is to be changed", name)
		}
	}
}

// uncommented has the lines that are settings in comments as settings.
func uncommented(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		bare, comment := strings.CutPrefix(strings.TrimLeft(line, " "), "# ")
		for _, begin := range []string{"- {name", "- name: web", "  addresses", "  checks:", "    - {name", "degraded:", "as: "} {
			if comment && strings.HasPrefix(bare, begin) {
				line = strings.Replace(line, "# ", "", 1)
				break
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestBIRDLines(t *testing.T) {
	lines, err := variants(t)["bird that runs"].Lines()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  protocol bgp upstream (neighbor in AS 65002):  export filter keepcast_ebgp;\n",
		"  protocol bgp mirror (neighbor in AS 65001):  export filter keepcast_ibgp;\n",
		"  protocol ospf core:  export filter keepcast_igp;\n",
	} {
		if !strings.Contains(string(lines), want) {
			t.Errorf("no %q in\n%s", want, lines)
		}
	}
	text, err := variants(t)["bird that runs"].Configuration()
	if err != nil || !strings.Contains(string(text), "\n    as: 65001 #") {
		t.Errorf("%v, no AS in\n%s", err, text)
	}
}

// The real bird reads the lines, with the snippet that the configuration makes.
func TestBIRDLinesAreAccepted(t *testing.T) {
	program := needs(t, "bird")
	dir := t.TempDir()
	d := variants(t)["bird"]
	d.Snippet, d.Conf = filepath.Join(dir, "keepcast.conf"), filepath.Join(dir, "bird.conf")
	cfg := load(t, d)
	snippet, err := cfg.Drivers[0].Driver.(driver.Renderer).Render(cfg.State("bird", driver.Announced))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := d.Lines()
	if err != nil {
		t.Fatal(err)
	}
	write(t, d.Snippet, string(snippet))
	for what, tc := range map[string]struct {
		text string
		good bool
	}{
		"the lines":    {string(lines), true},
		"broken lines": {strings.ReplaceAll(string(lines), "keepcast_ebgp", "keepcast_nothing"), false},
	} {
		write(t, d.Conf, "router id 10.0.0.11;\nprotocol device {}\n"+tc.text)
		if out, err := exec.Command(program, "-p", "-c", d.Conf).CombinedOutput(); (err == nil) != tc.good {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
}

func load(t *testing.T, d Daemon) *config.Config {
	t.Helper()
	text, err := d.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keepcast.yaml")
	write(t, path, string(text))
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("KEEPCAST_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}
