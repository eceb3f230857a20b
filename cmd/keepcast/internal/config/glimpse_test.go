package config

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// With a typo in the file of one instance, its operator drained another one: the control
// socket was taken to be the default. It is what the file says, as far as that can be read.
func TestGlimpse(t *testing.T) {
	for name, tt := range map[string]struct {
		main, dropIn string
		want         string
	}{
		"valid YAML, bad settings":  {"fish: 1\ncontrol_socket: /run/b.sock\n", "", "/run/b.sock"},
		"broken before":             {"services: [\n  {\ncontrol_socket: /run/b.sock\n", "", "/run/b.sock"},
		"broken after":              {"control_socket: \"/run/b.sock\" # of b\nservices: [", "", "/run/b.sock"},
		"a tab":                     {"control_socket: /run/b.sock\nservices:\n\t- name: dns\n", "", "/run/b.sock"},
		"any case":                  {"Control_Socket: /run/b.sock\n", "", "/run/b.sock"},
		"quoted key, broken":        {"'control_socket' : /run/b.sock\n{", "", "/run/b.sock"},
		"by a drop-in":              {"control_socket: /run/a.sock\n", "control_socket: /run/b.sock\n", "/run/b.sock"},
		"not by a drop-in":          {"control_socket: /run/b.sock\n", "linger: fish\n", "/run/b.sock"},
		"not said":                  {"linger: fish\n", "", ""},
		"not said, broken":          {"services: [", "", ""},
		"cut off":                   {"", "", ""},
		"said of something else":    {"services:\n  - control_socket: /run/b.sock\n  {", "", ""},
		"in a comment":              {"# control_socket: /run/b.sock\n{", "", ""},
		"a choice":                  {"control_socket: false\n{", "", "false"},
		"no text":                   {"control_socket: 5\n", "", ""},
		"no text, by a drop-in":     {"control_socket: /run/a.sock\n", "control_socket: [\n", ""},
		"a longer name":             {"control_socket_of_old: /run/b.sock\n{", "", ""},
		"a list at the top":         {"- control_socket: /run/b.sock\n", "", ""},
		"empty":                     {"control_socket: ''\n", "", ""},
		"twice, once as no text":    {"Control_Socket: /run/a.sock\ncontrol_socket: 5\n", "", ""},
		"twice, the last one holds": {"control_socket: /run/a.sock\nx: [\ncontrol_socket: /run/b.sock\n", "", "/run/b.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mkdir(t, dir+"/conf.d")
			drivertest.WriteFile(t, dir+"/keepcast.yaml", tt.main)
			drivertest.WriteFile(t, dir+"/conf.d/more.yaml", tt.dropIn)
			got, found := Glimpse(dir+"/keepcast.yaml", "control_socket")
			if got != tt.want || found != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, found, tt.want)
			}
		})
	}
}

// A file that can't be read may name another socket than the others do.
func TestGlimpseUnreadable(t *testing.T) {
	dir := t.TempDir()
	drivertest.WriteFile(t, dir+"/keepcast.yaml", "control_socket: /run/b.sock\n")
	mkdir(t, dir+"/conf.d/more.yaml")
	drivertest.WriteFile(t, dir+"/file", "")
	for _, path := range []string{dir + "/keepcast.yaml", dir + "/none.yaml", filepath.Join(dir, "file", "keepcast.yaml")} {
		if got, found := Glimpse(path, "control_socket"); found {
			t.Errorf("%s: got %s", path, got)
		}
	}
}

// So may what is in a directory of drop-ins that can't be read.
func TestGlimpseUnreadableDropIns(t *testing.T) {
	main := files(t, "control_socket: /run/b.sock\n-- conf.d --\n")
	if got, found := Glimpse(main, "control_socket"); found {
		t.Errorf("got %s", got)
	}
}

// A named pipe in place of the configuration hung every command.
func TestGlimpseNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keepcast.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if value, found := Glimpse(path, "control_socket"); found {
		t.Errorf("got %q", value)
	}
	if _, err := LoadOffline(path); err == nil {
		t.Error("it is taken")
	}
}

// A drop-in that is a link to nowhere says nothing, and takes away nothing that the main file
// says: one dead link took drain and status away.
func TestGlimpseDeadLink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keepcast.yaml")
	if err := errors.Join(os.WriteFile(path, []byte("control_socket: /run/b.sock\n"), 0o600), os.Mkdir(dir+"/conf.d", 0o755), os.Symlink("nowhere", dir+"/conf.d/x.yaml")); err != nil {
		t.Fatal(err)
	}
	if value, found := Glimpse(path, "control_socket"); value != "/run/b.sock" || !found {
		t.Errorf("got %q, %t", value, found)
	}
	if value, found := Glimpse(dir+"/missing.yaml", "control_socket"); found {
		t.Errorf("of a file that is missing: %q", value)
	}
}
