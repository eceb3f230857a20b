package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// stranger is a user who is neither root nor keepcast (nobody).
const stranger = 65534

// A main file that anybody may write, or a drop-in of another user, was valid, and the
// commands in it ran as root.
func TestTrust(t *testing.T) {
	drivertest.NeedsRoot(t, "to give files away")
	const text = minimal + "template_directory: DIR/templates\n" +
		"drivers: [{kind: template, template: DIR/t, output: /o, reload: [DIR/reload]}]\n"
	const anybody, nobody = "anybody may write it (mode %), and keepcast would do what they say: chmod go-w ", "user nobody owns it, and keepcast would do what that user says: chown root "
	for name, tt := range map[string]struct {
		mode  os.FileMode
		owner int
		path  string
		want  string
	}{
		"main file":       {0o666, 0, "keepcast.yaml", "DIR/keepcast.yaml: " + anybody + "DIR/keepcast.yaml"},
		"drop-in":         {0o644, stranger, "conf.d/a.yaml", "DIR/conf.d/a.yaml: " + nobody + "DIR/conf.d/a.yaml"},
		"their directory": {0o777, 0, "conf.d", "DIR/conf.d: " + anybody + "DIR/conf.d"},
		"the directory of both": {0o777, 0, "", "DIR: " + anybody + "DIR\n" + // said once for all the files
			"DIR/keepcast.yaml:2:1: template_directory: DIR: " + anybody + "DIR\n" +
			"DIR/keepcast.yaml:3:11: drivers[template]: reading the template: DIR: " + anybody + "DIR"},
		"template":             {0o666, 0, "templates/bird.conf.tmpl", "DIR/keepcast.yaml:2:1: template_directory: DIR/templates/bird.conf.tmpl: " + anybody + "DIR/templates/bird.conf.tmpl"},
		"template of a driver": {0o666, 0, "t", "DIR/keepcast.yaml:3:11: drivers[template]: reading the template: DIR/t: " + anybody + "DIR/t"},
		"none of ours":         {0o666, 0, "templates/other.tmpl", ""},
		"a command":            {0o777, 0, "reload", "DIR/keepcast.yaml:3:11: drivers[template]: DIR/reload: " + anybody + "DIR/reload"},
	} {
		t.Run(name, func(t *testing.T) {
			main := files(t, "-- conf.d/a.yaml --\nlinger: 1s\n-- templates/bird.conf.tmpl --\n-- templates/other.tmpl --\n-- t --\n-- reload --\n")
			dir := filepath.Dir(main)
			drivertest.WriteFile(t, main, strings.ReplaceAll(text, "DIR", dir))
			if err := os.Chmod(dir+"/reload", 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, tt.path)
			if err := os.Chown(path, tt.owner, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadStrict(main)
			want := strings.ReplaceAll(tt.want, "%", map[os.FileMode]string{0o666: "0666", 0o777: "0777"}[tt.mode])
			if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if tt.path == "" || strings.HasPrefix(tt.path, "conf.d") || tt.path == "keepcast.yaml" {
				if _, err := LoadOffline(main); err != nil {
					t.Errorf("on a build machine: %v", err)
				}
			}
		})
	}
}

// Whoever may write conf.d decides what the next start reads, though there is nothing in it
// yet.
func TestTrustEmptyDropIns(t *testing.T) {
	main := files(t, minimal)
	dir := filepath.Join(filepath.Dir(main), "conf.d")
	mkdir(t, dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Load(main)
	want := "DIR: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR"
	if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
