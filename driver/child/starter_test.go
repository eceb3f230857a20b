package child

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is remembered holds for the same file at the same place only, and not for ever.
func TestStarter(t *testing.T) {
	dir := t.TempDir()
	program, script, link := filepath.Join(dir, "program"), filepath.Join(dir, "script"), filepath.Join(dir, "link")
	drivertest.CopyFile(t, "/bin/true", program, 0o755)
	drivertest.CopyFile(t, "/bin/true", script, 0o755)
	write := func(path, text string) {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		drivertest.Eventually(t, "another time of the file", func() bool {
			drivertest.WriteFile(t, path, text)
			after, err := os.Stat(path)
			return err == nil && !unchanged(before, after)
		})
	}
	leads := func(to string) {
		_ = os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	var starter Starter
	for _, step := range []struct {
		name       string
		change     func()
		ask        string
		path       string // "": by way of the shell
		remembered bool
	}{
		{"nothing is known", func() {}, program, program, false},
		{"the same", func() {}, program, program, true},
		{"by a link", func() { leads(program) }, link, program, true},
		{"a minute later", func() { starter.last.Load().seen = time.Now().Add(-rememberedFor - time.Second) }, program, program, false},
		{"another program", func() {}, script, script, false},
		{"it is a script now", func() { write(script, "#!/bin/true\n") }, script, "", false},
		{"still", func() {}, script, "", true},
		{"it is another file", func() { rename(t, program, script) }, script, script, false},
		{"the link leads to it", func() { leads(script) }, link, script, true},
		{"the same file is elsewhere, and another one in its place", func() {
			if err := os.Link(script, program); err != nil {
				t.Fatal(err)
			}
			leads(program)
			_ = os.Remove(script)
			drivertest.WriteFile(t, script, "#!/bin/false\n")
		}, link, program, false},
		{"it is gone", func() { _ = os.Remove(program) }, link, "", true},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.change()
			before := starter.last.Load()
			path, ok := starter.direct(step.ask)
			if path != step.path && ok || ok != (step.path != "") {
				t.Errorf("got %s, %t, want %q", path, ok, step.path)
			}
			if remembered := starter.last.Load() == before; remembered != step.remembered {
				t.Errorf("remembered: %t", remembered)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
