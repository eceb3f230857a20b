package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

type names struct {
	Names []string `json:"names"`
}

// document returns a document in a directory of its own, as a new keepcast finds it.
func document(t *testing.T) *Document[names] { return again(filepath.Join(t.TempDir(), "x.json")) }

func again(path string) *Document[names] {
	return &Document[names]{Path: path, Version: 2, Plain: func(text []byte) bool { return bytes.HasPrefix(text, []byte(`{"names"`)) }}
}

// save saves in turn; each after a load, as by a keepcast that was started anew.
func save(t *testing.T, path string, values ...string) {
	t.Helper()
	for _, v := range values {
		d := again(path)
		if _, _, err := d.Load(nil); err != nil {
			t.Fatal(err)
		}
		if err := d.Save(names{[]string{v}}); err != nil {
			t.Fatal(err)
		}
	}
}

// sealed is a document with the checksum that it should have.
func sealed(t *testing.T, version int, data string) string {
	t.Helper()
	sum, err := checksum(version, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"version": %d, "sha256": %q, "data": %s}`, version, sum, data)
}

// What is saved is there again, whatever is in it, and all that is left are the two files.
func TestSaveAndLoad(t *testing.T) {
	d := document(t)
	if got, notice, err := d.Load(nil); got.Names != nil || notice != nil || err != nil {
		t.Errorf("where there is nothing: %v, %v, %v", got, notice, err)
	}
	for _, want := range []names{{}, {[]string{"a"}}, {[]string{"<é\u2028\n\x00\">", "b"}}} {
		if err := d.Save(want); err != nil {
			t.Fatal(err)
		}
		got, notice, err := again(d.Path).Load(nil)
		if diff := cmp.Diff(want, got); diff != "" || notice != nil || err != nil {
			t.Errorf("%v, %v\n%s", notice, err, diff)
		}
	}
	drivertest.Same(t, "files", []string{"x.json", "x.json.copy"}, files(t, d.Path))
}

func files(t *testing.T, path string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// A file that was cut off, or is none of ours, or of a newer keepcast, was taken for no
// file: an operator's drains were forgotten, and the next drain overwrote the file. Its
// copy is used, and it is put aside, both also when it is no regular file.
func TestDamagedFile(t *testing.T) {
	whole := sealed(t, 2, `{"names": ["newest"]}`)
	for name, tc := range map[string]struct {
		make func(path string) error
		why  string
	}{
		"empty":           {holding(""), "is empty"},
		"cut off":         {holding(whole[:len(whole)-9]), "is cut off or damaged (unexpected end of JSON input)"},
		"binary":          {holding("\x7fELF\x00\x01"), "is cut off or damaged (invalid character '\\x7f' looking for beginning of value)"},
		"zeroes":          {holding(string(make([]byte, 512))), "is cut off or damaged (invalid character '\\x00' looking for beginning of value)"},
		"edited":          {holding(strings.Replace(whole, "newest", "edited", 1)), "has a wrong checksum: it is damaged, or was edited by hand"},
		"other version":   {holding(strings.Replace(whole, `"version": 2`, `"version": 1`, 1)), "has a wrong checksum: it is damaged, or was edited by hand"},
		"newer":           {holding(sealed(t, 3, `{"names": 3}`)), "was written by a newer keepcast (version 3, known here is 2)"},
		"no checksum":     {holding(`{"version": 2, "data": {"names": []}}`), "has no version and checksum: keepcast did not write it so"},
		"no version":      {holding(strings.Replace(whole, `"version": 2, `, "", 1)), "has no version and checksum: keepcast did not write it so"},
		"no data":         {holding(`{"version": 2, "sha256": "00"}`), "has no version and checksum: keepcast did not write it so"},
		"something after": {holding(whole + "}"), "is cut off or damaged (invalid character '}' after top-level value)"},
		"other data":      {holding(sealed(t, 2, `{"names": "a"}`)), "is not understood (json: cannot unmarshal string into Go struct field names.names of type []string)"},
		"too large":       {holding(strings.Repeat(" ", sizeLimit) + whole), "is larger than 4 MiB"},
		"directory":       {func(path string) error { return os.MkdirAll(filepath.Join(path, "in"), 0o700) }, "is a directory, not a file"},
		"pipe":            {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a named pipe, not a file"},
		"link":            {func(path string) error { return os.Symlink("/etc/passwd", path) }, "is a symbolic link, not a file"},
		"device":          {func(path string) error { return os.Symlink("/dev/zero", path) }, "is a symbolic link, not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			d := document(t)
			save(t, d.Path, "last")
			if err := os.Remove(d.Path); err != nil {
				t.Fatal(err)
			}
			if err := tc.make(d.Path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(d.Path)
			if err != nil {
				t.Fatal(err)
			}
			got, notice, err := d.Load(nil)
			want := d.Path + ": " + tc.why + ": its copy " + d.Path + ".copy is used; the next save puts the bad file aside as " + d.Path + ".bad"
			if drivertest.ErrText(notice) != want || err != nil || !slices.Equal(got.Names, []string{"last"}) {
				t.Errorf("got  %v, %v, %v\nwant %s", got, notice, err, want)
			}
			if err := d.Save(names{[]string{"next"}}); err != nil {
				t.Fatal(err)
			}
			if aside, err := os.Lstat(d.Path + ".bad"); err != nil || !os.SameFile(aside, before) {
				t.Errorf("the bad file is not kept: %v", err)
			}
			drivertest.Same(t, "files", []string{"x.json", "x.json.bad", "x.json.copy"}, files(t, d.Path))
			if got, notice, err := again(d.Path).Load(nil); err != nil || notice != nil || !slices.Equal(got.Names, []string{"next"}) {
				t.Errorf("after the save: %v, %v, %v", got, notice, err)
			}
		})
	}
}

func holding(content string) func(path string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
}

// Where neither the file nor its copy can be used, that is an error and not an empty
// document, and both are kept.
func TestNeitherIsGood(t *testing.T) {
	d := document(t)
	drivertest.WriteFile(t, d.Path, "{")
	drivertest.WriteFile(t, CopyOf(d.Path), "[")
	got, notice, err := d.Load(nil)
	want := d.Path + ": is cut off or damaged (unexpected end of JSON input); its copy " + CopyOf(d.Path) +
		": is cut off or damaged (unexpected end of JSON input); the next save puts what is there aside as " + d.Path + ".bad"
	if drivertest.ErrText(err) != want || notice != nil || got.Names != nil {
		t.Errorf("got  %v, %v, %v\nwant %s", got, notice, err, want)
	}
	for range 2 { // the second save has nothing to put aside
		if err := d.Save(names{[]string{"new"}}); err != nil {
			t.Fatal(err)
		}
	}
	drivertest.Same(t, "files", []string{"x.json", "x.json.bad", "x.json.copy", "x.json.copy.bad"}, files(t, d.Path))
	if drivertest.ReadFile(t, d.Path+".bad") != "{" || drivertest.ReadFile(t, CopyOf(d.Path)+".bad") != "[" {
		t.Error("what was put aside is not what was there")
	}
}

// A bad file without a copy is an error, too: an operator's drains are not known then.
func TestDamagedWithoutCopy(t *testing.T) {
	d := document(t)
	drivertest.WriteFile(t, d.Path, "")
	_, _, err := d.Load(nil)
	want := d.Path + ": is empty; its copy " + CopyOf(d.Path) + ": no such file or directory; the next save puts what is there aside as " + d.Path + ".bad"
	if drivertest.ErrText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A file that is gone has its copy used, and the notice says how to forget both.
func TestOnlyTheCopyIsThere(t *testing.T) {
	d := document(t)
	save(t, d.Path, "last")
	if err := os.Remove(d.Path); err != nil {
		t.Fatal(err)
	}
	got, notice, err := d.Load(nil)
	want := d.Path + ": is missing: its copy " + CopyOf(d.Path) + " is used"
	if drivertest.ErrText(notice) != want || err != nil || !slices.Equal(got.Names, []string{"last"}) {
		t.Errorf("got  %v, %v, %v\nwant %s", got, notice, err, want)
	}
	if err := d.Save(names{}); err != nil {
		t.Fatal(err)
	}
	drivertest.Same(t, "files", []string{"x.json", "x.json.copy"}, files(t, d.Path))
}

// A document from before there were checksums is read, and written anew with one.
func TestPlainDocument(t *testing.T) {
	d := document(t)
	drivertest.WriteFile(t, d.Path, `{"names": ["old"]}`)
	got, notice, err := d.Load(nil)
	if err != nil || notice != nil || !slices.Equal(got.Names, []string{"old"}) {
		t.Errorf("got %v, %v, %v", got, notice, err)
	}
	if err := d.Save(got); err != nil {
		t.Fatal(err)
	}
	if text := drivertest.ReadFile(t, d.Path); !strings.Contains(text, `"sha256": "`) {
		t.Errorf("written is %s", text)
	}
	drivertest.Same(t, "files", []string{"x.json", "x.json.copy"}, files(t, d.Path))
}

// A file that is put aside is still there until it is replaced: a crash in between would
// leave a keepcast that knows of no drains. A directory can't be replaced.
func TestPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	drivertest.WriteFile(t, path, "bad")
	if err := putAside(path); err != nil {
		t.Fatal(err)
	}
	drivertest.Same(t, "files", []string{"x.json", "x.json.bad"}, files(t, path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := putAside(path); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := putAside(path); err != nil {
		t.Fatal(err)
	}
	drivertest.Same(t, "files", []string{"x.json.bad", "x.json.bad2"}, files(t, path))
}

// However often files go bad, the first ones are kept, and there is an end to it.
func TestPutAsideManyTimes(t *testing.T) {
	d := document(t)
	for i := range asideLimit + 2 {
		drivertest.WriteFile(t, d.Path, fmt.Sprintf("bad %d", i+1))
		now := again(d.Path)
		if _, _, err := now.Load(nil); err != nil && i > 0 {
			t.Fatal(err)
		}
		if err := now.Save(names{}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"x.json", "x.json.copy", "x.json.bad"}
	for n := 2; n <= asideLimit; n++ {
		want = append(want, fmt.Sprintf("x.json.bad%d", n))
	}
	drivertest.Same(t, "files", want, files(t, d.Path))
	for name, text := range map[string]string{".bad": "bad 1", ".bad2": "bad 2", ".bad9": "bad 11"} {
		if got := drivertest.ReadFile(t, d.Path+name); got != text {
			t.Errorf("%s is %q, want %q", name, got, text)
		}
	}
}

// A copy that somebody replaced by a directory does not keep the document from being saved.
func TestCopyIsNoFile(t *testing.T) {
	d := document(t)
	save(t, d.Path, "first")
	if err := os.Remove(CopyOf(d.Path)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(CopyOf(d.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, d.Path, "second")
	drivertest.Same(t, "files", []string{"x.json", "x.json.copy", "x.json.copy.bad"}, files(t, d.Path))
}

// What can't be saved is named, and leaves what was there.
func TestSaveFaults(t *testing.T) {
	d := document(t)
	save(t, d.Path, "first")
	before := drivertest.ReadFile(t, d.Path)
	huge := names{[]string{strings.Repeat("x", sizeLimit)}}
	if err := d.Save(huge); drivertest.ErrText(err) != d.Path+": would be larger than 4 MiB" {
		t.Errorf("got %v", err)
	}
	if drivertest.ReadFile(t, d.Path) != before {
		t.Error("the file changed")
	}
	odd := Document[func()]{Path: d.Path, Version: 1}
	if err := odd.Save(nil); drivertest.ErrText(err) != d.Path+": json: unsupported type: func()" {
		t.Errorf("got %v", err)
	}
	missing := filepath.Join(d.Path+".d", "x.json")
	if err := again(missing).Save(names{}); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("got %v", err)
	}
}

// The largest document that can be saved can be read, too.
func TestLargestDocument(t *testing.T) {
	d := document(t)
	frame, err := d.text(names{[]string{""}})
	if err != nil {
		t.Fatal(err)
	}
	largest := names{[]string{strings.Repeat("x", sizeLimit-len(frame))}}
	text, err := d.text(largest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.parse(text); err != nil || len(got.Names) != 1 {
		t.Error(err)
	}
	largest.Names[0] += "x"
	if _, err := d.text(largest); err == nil {
		t.Error("a larger one can be saved")
	}
}

// A file system that hangs kept keepcast from starting, and from being stopped. What is
// there is told once it answers, and no save comes before.
func TestLoadFromHangingFileSystem(t *testing.T) {
	dir, release := drivertest.HangingDir(t)
	d := again(filepath.Join(dir, "x.json"))
	told := make(chan error, 1)
	_, _, err := d.Load(func(_ names, notice, err error) { told <- errors.Join(notice, err) })
	if !errors.Is(err, pace.ErrHangs) || drivertest.ErrText(err) != d.Path+": no answer within 2s: the file system hangs, or the host is very busy" {
		t.Errorf("got %v", err)
	}
	saved := make(chan error, 1)
	go func() { saved <- d.Save(names{}) }()
	select {
	case err := <-told:
		t.Errorf("told %v though it hangs", err)
	case err := <-saved:
		t.Errorf("saved: %v", err)
	default:
	}
	release()
	if err := <-told; err == nil {
		t.Error("told nothing of a file system that is gone")
	}
	if err := <-saved; err == nil {
		t.Error("saved on a file system that is gone")
	}
}

// Any bytes: no panic, and nothing is believed whose checksum is wrong.
func FuzzParse(f *testing.F) {
	d := &Document[names]{Version: 2}
	whole, err := d.text(names{[]string{"dns", "<é>"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"version": 1, "sha256": "00", "data": {"names": null}}`))
	f.Add([]byte(`{"names": ["a"]}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := d.parse(text)
		if err != nil {
			if v.Names != nil {
				t.Errorf("%v comes with an error: %v", v, err)
			}
			return
		}
		// The same by other means than those of parse.
		var e struct {
			Version int
			SHA256  string
			Data    json.RawMessage
		}
		var data bytes.Buffer
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&data, e.Data); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(append(fmt.Appendf(nil, "%d ", e.Version), data.Bytes()...))
		if e.Version < 1 || e.Version > 2 || e.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("believed: %s", text)
		}
	})
}
