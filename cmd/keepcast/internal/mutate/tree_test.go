package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRooms has a mutant that writes next to the package. That is neither in the
// checkout nor there for the next mutant.
func TestRooms(t *testing.T) {
	dir := module(t, map[string]string{
		"a/m.go": "package m\n\nfunc target(dir string) (name string) {\n\tname = \"left\"\n\tname = dir + \"/right\"\n\tname += \"\"\n\treturn name\n}\n",
		"a/m_test.go": `package m

import (
	"os"
	"testing"
)

func TestTarget(t *testing.T) {
	if _, err := os.Stat("left"); err == nil {
		t.Error("left behind")
	}
	if _, err := os.Stat("../b/above"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(target(t.TempDir()), nil, 0o600); err != nil {
		t.Error(err)
	}
}
`,
		"b/above": "",
	})
	_, out := mutate(t, "-parallel", "1", "./a")
	want := `example.com/m/a: 3 mutants, 3 covered; tests of a take T, a mutant may take 5s
a/m.go:4:2: assignment dropped: name = "left" [lived]
a/m.go:5:2: assignment dropped: name = dir + "/right" [lived]
a/m.go:6:2: assignment dropped: name += "" [lived]
example.com/m/a: 0 killed, 0 of them timed out, 3 lived, 0 not covered: 0.0 % killed, in T
a/m.go:4:2: lived, kill it or list it with a reason: target: assignment dropped: name = "left"
a/m.go:5:2: lived, kill it or list it with a reason: target: assignment dropped: name = dir + "/right"
a/m.go:6:2: lived, kill it or list it with a reason: target: assignment dropped: name += ""
`
	if got := withoutTimes(out); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "left")); !os.IsNotExist(err) {
		t.Errorf("in the checkout: %v", err)
	}
}

// TestCopyModule copies what is there, with modes and links.
func TestCopyModule(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, from, map[string]string{"a/b": "text", ".git/c": "", "d": ""})
	if err := os.Chmod(filepath.Join(from, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a/b", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyModule(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "link"))
	if err != nil || string(text) != "text" {
		t.Errorf("link: %q (%v)", text, err)
	}
	if info, err := os.Stat(filepath.Join(to, "a", "b")); err != nil || info.Mode() != 0o755 {
		t.Errorf("file: %v (%v)", info, err)
	}
	if _, err := os.Stat(filepath.Join(to, ".git")); !os.IsNotExist(err) {
		t.Errorf(".git: %v", err)
	}
	if err := copyFile(filepath.Join(from, "gone"), filepath.Join(to, "gone")); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
}
