package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// An operator with a dead link in conf.d was told to write a configuration, with the exit
// code of a failure; of a dead conf.d, drain.d or template nobody said a word, though what
// is behind it was not in force, and a dead state_directory was valid and ended the start.
func TestDeadLinks(t *testing.T) {
	const dead = " is a link that leads nowhere (to DIR/gone): remove it, or make what it leads to"
	for name, tt := range map[string]struct{ text, link, want string }{
		"a drop-in":           {"lingre: 1s\n", "conf.d/x.yaml", "DIR/conf.d/x.yaml:" + dead + "\nDIR/keepcast.yaml:2:1: lingre: no such setting (did you mean \"linger\"?)"},
		"none of ours":        {"", "conf.d/x.yaml.bak", ""},
		"conf.d":              {"", "conf.d", "DIR/conf.d:" + dead},
		"the main file":       {"", "keepcast.yaml", "configuration: open DIR/keepcast.yaml: no such file or directory: it" + dead + ", or name another with --config"},
		"state_directory":     {"state_directory: DIR/state\n", "state", "DIR/keepcast.yaml:2:1: state_directory: DIR/state" + dead},
		"of the socket":       {"control_socket: DIR/run/k.sock\n", "run", "DIR/keepcast.yaml:2:1: control_socket: DIR/run" + dead},
		"drain_directory":     {"drain_directory: DIR/drain.d\n", "drain.d", "DIR/keepcast.yaml:2:1: drain_directory: DIR/drain.d" + dead},
		"template_directory":  {"template_directory: DIR/templates\n", "templates", "DIR/keepcast.yaml:2:1: template_directory: DIR/templates" + dead},
		"a template":          {"template_directory: DIR\n", "bird.conf.tmpl", "DIR/keepcast.yaml:2:1: template_directory: DIR/bird.conf.tmpl" + dead},
		"no drains, no links": {"drain_directory: ''\ntemplate_directory: ''\n", "other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			main := filepath.Join(dir, "keepcast.yaml")
			if tt.link == "keepcast.yaml" {
				main = filepath.Join(dir, "other.yaml")
			}
			drivertest.WriteFile(t, main, strings.ReplaceAll(minimal+tt.text, "DIR", dir))
			mkdir(t, filepath.Dir(filepath.Join(dir, tt.link)))
			if err := os.Symlink(dir+"/gone", filepath.Join(dir, tt.link)); err != nil {
				t.Fatal(err)
			}
			_, err := LoadStrict(dir + "/keepcast.yaml")
			if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Configuration that another program keeps elsewhere is linked into conf.d, and conf.d
// itself may be a link.
func TestLiveLinks(t *testing.T) {
	for _, link := range []string{"conf.d", "conf.d/x.yaml"} {
		main := files(t, minimal+"-- kept/x.yaml --\nlinger: 3s\n")
		dir := filepath.Dir(main)
		path := filepath.Join(dir, link)
		mkdir(t, filepath.Dir(path))
		if err := os.Symlink(strings.Replace(path, "conf.d", "kept", 1), path); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(main); err != nil || c.Linger != 3*time.Second {
			t.Errorf("%s is a link: got %+v, %v", link, c, err)
		}
	}
}

// A link that leads back to itself is as dead.
func TestLinkInCircles(t *testing.T) {
	main := files(t, minimal+"-- conf.d/a.yaml --\n")
	path := filepath.Join(filepath.Dir(main), "conf.d/x.yaml")
	if err := os.Symlink("x.yaml", path); err != nil {
		t.Fatal(err)
	}
	_, err := Load(main)
	if want := path + ": is a link that leads nowhere (to x.yaml): remove it, or make what it leads to"; drivertest.ErrText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	drivertest.WriteFile(t, main, "control_socket: /run/b.sock\n")
	if value, found := Glimpse(main, "control_socket"); value != "/run/b.sock" || !found {
		t.Errorf("glimpsed %q, %t", value, found)
	}
}
