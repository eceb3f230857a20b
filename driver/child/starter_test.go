package child

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is remembered holds for the same file only, and not for ever.
func TestStarter(t *testing.T) {
	dir := t.TempDir()
	program, script := filepath.Join(dir, "program"), filepath.Join(dir, "script")
	drivertest.CopyFile(t, "/bin/true", program, 0o755)
	drivertest.CopyFile(t, "/bin/true", script, 0o755)
	var starter Starter
	const remembered = "/remembered"
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
	for _, step := range []struct {
		name   string
		change func(s *Starter)
		ask    string
		path   string // "": by way of the shell
	}{
		{"nothing is known", func(s *Starter) { s.last.Store(nil) }, program, program},
		{"the same", func(*Starter) {}, program, remembered},
		{"a minute later", func(s *Starter) { s.last.Load().seen = time.Now().Add(-rememberedFor - time.Second) }, program, program},
		{"another program", func(*Starter) {}, script, script},
		{"it is a script now", func(*Starter) { write(script, "#!/bin/true\n") }, script, ""},
		{"still", func(*Starter) {}, script, ""},
		{"it is another file", func(*Starter) { rename(t, program, script) }, script, script},
		{"it is gone", func(*Starter) { rename(t, script, program) }, script, ""},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.change(&starter)
			path, ok := starter.direct(step.ask)
			if path != step.path && ok || ok != (step.path != "") {
				t.Errorf("got %s, %t, want %q", path, ok, step.path)
			}
			if last := starter.last.Load(); last != nil && ok {
				last.path = remembered
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
