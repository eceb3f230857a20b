package trust

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// stranger is a user who is neither root nor keepcast (nobody).
const stranger = 65534

// tree makes DIR/d/f, and lets the test change it before it is read.
func tree(t *testing.T, change func(dir string) error) (dir string) {
	t.Helper()
	drivertest.NeedsRoot(t, "to give files away")
	dir = t.TempDir()
	if err := os.Mkdir(dir+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/d/f", "text")
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func chmod(path string, mode os.FileMode) func(string) error {
	return func(dir string) error { return os.Chmod(dir+path, mode) }
}

func chown(path string, uid, gid int, mode os.FileMode) func(string) error {
	return func(dir string) error {
		if err := os.Chown(dir+path, uid, gid); err != nil {
			return err
		}
		return os.Chmod(dir+path, mode) // chown takes bits away
	}
}

// A command in a file that anybody may write, or in one of another user, ran as root.
func TestReadFile(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"root's":                    {chmod("/d/f", 0o644), ""},
		"of root's group":           {chmod("/d/f", 0o664), ""},
		"anybody":                   {chmod("/d/f", 0o666), "DIR/d/f: anybody may write it (mode 0666), and keepcast would do what they say: chmod go-w DIR/d/f"},
		"anybody, not its group":    {chmod("/d/f", 0o602), "DIR/d/f: anybody may write it (mode 0602), and keepcast would do what they say: chmod go-w DIR/d/f"},
		"another group":             {chown("/d/f", 0, 7, 0o664), "DIR/d/f: its group 7 may write it (mode 0664), and keepcast would do what they say: chmod g-w DIR/d/f"},
		"another group reads":       {chown("/d/f", 0, 7, 0o640), ""},
		"another user":              {chown("/d/f", stranger, 0, 0o600), "DIR/d/f: user nobody owns it, and keepcast would do what that user says: chown root DIR/d/f"},
		"a user without a name":     {chown("/d/f", 4_000_000, 0, 0o600), "DIR/d/f: user 4000000 owns it, and keepcast would do what that user says: chown root DIR/d/f"},
		"a directory of anybody":    {chmod("/d", 0o777), "DIR/d: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/d"},
		"a sticky directory":        {chmod("/d", 0o777|os.ModeSticky), ""},
		"a sticky one of a user":    {chown("/d", stranger, 0, 0o777|os.ModeSticky), "DIR/d: user nobody owns it, and keepcast would do what that user says: chown root DIR/d"},
		"a directory of a group":    {chown("/d", 0, 7, 0o775), "DIR/d: its group 7 may write it (mode 0775), and keepcast would do what they say: chmod g-w DIR/d"},
		"a directory further above": {chmod("", 0o777), "DIR: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR"},
		"all of it": {
			func(dir string) error {
				if err := chown("/d/f", stranger, 0, 0o666)(dir); err != nil {
					return err
				}
				return chmod("/d", 0o777)(dir)
			},
			"DIR/d/f: user nobody owns it, and keepcast would do what that user says: chown root DIR/d/f\n" +
				"DIR/d/f: anybody may write it (mode 0666), and keepcast would do what they say: chmod go-w DIR/d/f\n" +
				"DIR/d: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/d",
		},
		"a link into a directory of anybody": {
			func(dir string) error {
				if err := os.Mkdir(dir+"/e", 0o755); err != nil {
					return err
				}
				if err := os.Chmod(dir+"/e", 0o777); err != nil {
					return err
				}
				if err := os.Rename(dir+"/d/f", dir+"/e/f"); err != nil {
					return err
				}
				return os.Symlink("../e/f", dir+"/d/f")
			},
			"DIR/e: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/e",
		},
		"a FIFO": {
			func(dir string) error {
				if err := os.Remove(dir + "/d/f"); err != nil {
					return err
				}
				return syscall.Mkfifo(dir+"/d/f", 0o600)
			},
			"DIR/d/f is no regular file",
		},
		"none": {func(dir string) error { return os.Remove(dir + "/d/f") }, "open DIR/d/f: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, tt.change)
			text, err := ReadFile(dir + "/d/f")
			if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.want == "" && string(text) != "text" {
				t.Errorf("read %q", text)
			}
		})
	}
}

// A directory is looked at for the files that are not there yet.
func TestDirectory(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		change func(dir string) error
		want   string
	}{
		"root's":  {"/d", chmod("/d", 0o755), ""},
		"none":    {"/none", chmod("/d", 0o755), ""},
		"anybody": {"/d", chmod("/d", 0o777), "DIR/d: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/d"},
		"by a link": {
			"/l",
			func(dir string) error {
				if err := os.Chmod(dir+"/d", 0o777); err != nil {
					return err
				}
				return os.Symlink("d", dir+"/l")
			},
			"DIR/d: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/d",
		},
	} {
		dir := tree(t, tt.change)
		if got := strings.ReplaceAll(drivertest.ErrText(Directory(dir+tt.path)), dir, "DIR"); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	t.Chdir(tree(t, chmod("/d", 0o755)))
	if err := Directory("d"); err != nil {
		t.Error(err)
	}
}

// A program's directories are the system's; the program itself is not to be a stranger's.
func TestProgram(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"root's":                 {chmod("/d/f", 0o755), ""},
		"a directory of a group": {chown("/d", 0, 50, 0o775), ""},
		"anybody":                {chmod("/d/f", 0o777), "DIR/d/f: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/d/f"},
		"another user":           {chown("/d/f", stranger, 0, 0o755), "DIR/d/f: user nobody owns it, and keepcast would do what that user says: chown root DIR/d/f"},
		"none":                   {func(dir string) error { return os.Remove(dir + "/d/f") }, "stat DIR/d/f: no such file or directory"},
	} {
		dir := tree(t, tt.change)
		if got := strings.ReplaceAll(drivertest.ErrText(Program(filepath.Join(dir, "d", "f"))), dir, "DIR"); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
