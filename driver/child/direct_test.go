package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A program of the host itself is started without the shell, under the name that it was
// called by; all others by way of it.
func TestDirect(t *testing.T) {
	program, err := filepath.EvalSymlinks("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	dir, elsewhere := t.TempDir(), otherDevice(t)
	link, script, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "script"), filepath.Join(dir, "pipe")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, script, "#!/bin/true\n")
	if err := unix.Mkfifo(pipe, 0o755); err != nil {
		t.Fatal(err)
	}
	remote, lent := filepath.Join(elsewhere, "true"), filepath.Join(elsewhere, "link")
	drivertest.CopyFile(t, program, remote, 0o755)
	if err := os.Symlink(program, lent); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/bin/true": program,
		program:     program,
		link:        program,
		lent:        program, // what is started is where the link leads
		script:      "",
		pipe:        "",
		remote:      "",
		"/none":     "",
		"true":      "", // relative to a directory that may be anywhere
	} {
		if got, ok := new(Starter).direct(path); got != want && ok || ok != (want != "") {
			t.Errorf("%s: got %s, %t, want %q", path, got, ok, want)
		}
	}
	cmd, err := Command(t.Context(), "", []string{link, "x"})
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Path != program || strings.Join(cmd.Args, " ") != link+" x" {
		t.Errorf("it runs %s as %s", cmd.Path, cmd.Args)
	}
}

// A program of the host that needs a dynamic linker from elsewhere hangs like that one.
func TestDirectLinkerElsewhere(t *testing.T) {
	dir, elsewhere := t.TempDir(), otherDevice(t)
	linker, ok := linkerOf("/bin/true")
	if !ok || linker == "" {
		drivertest.Missing(t, "/bin/true is static here")
	}
	local := filepath.Join(dir, "true")
	drivertest.CopyFile(t, "/bin/true", local, 0o755)
	if !direct(local) {
		t.Error("a copy of it is not started directly")
	}
	// The path of another linker, in the room of the old one.
	other := filepath.Join(elsewhere, "ld")
	if len(other) > len(linker) {
		t.Fatalf("%s has no room in %s", other, linker)
	}
	moved := strings.ReplaceAll(drivertest.ReadFile(t, local), linker, other+strings.Repeat("\x00", len(linker)-len(other)))
	drivertest.WriteFile(t, local, moved)
	drivertest.CopyFile(t, linker, other, 0o755)
	if err := exec.Command(local).Run(); err != nil {
		t.Errorf("the copy does not run: %v", err)
	}
	if direct(local) {
		t.Error("it is started directly, though its linker is elsewhere")
	}
}

// otherDevice returns a directory on another file system than the shell's.
func otherDevice(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home, _ := deviceOf(shell)
	if on, ok := deviceOf(dir); !ok || on == home {
		drivertest.Missing(t, "/dev/shm is on the file system of the shell")
	}
	return dir
}
