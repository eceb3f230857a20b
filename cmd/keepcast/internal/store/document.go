// Package store keeps the files of keepcast's own that survive a restart. Nothing in it
// blocks who decides, loses what was saved, or believes what is damaged: a document has
// a version and a checksum, a copy beside it, and a goroutine of its own that writes it.
package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/snippet"
)

// sizeLimit bounds a document. One for 10,000 services takes half of it.
const sizeLimit = 4 << 20

// Document is a small value that is kept as JSON in a file, and once more in a copy
// beside it. The copy is written after the file. So one of the two is always whole.
type Document[T any] struct {
	Path    string
	Version int // of the form of T: a file with a higher one is not read
	// Plain tells whether a text without version and checksum is a document of a keepcast
	// that did not write them yet. With nil there are none.
	Plain func(text []byte) bool

	loaded  <-chan struct{} // closed when the reading by Load has ended; nil before Load
	damaged []string        // what Load could not use, and Save puts aside before it writes
}

// envelope is what is in the file.
type envelope struct {
	Version  int             `json:"version"`
	Checksum string          `json:"sha256"` // of the version and the data, see checksum
	Data     json.RawMessage `json:"data"`
}

// errEmpty is the error of a file without content, as a power cut may leave it.
var errEmpty = errors.New("is empty")

// CopyOf returns where the copy of a document is.
func CopyOf(path string) string { return path + ".copy" }

// Load returns the document; the zero value where there is none. If the file can't be
// used its copy is taken, and notice says what is wrong. The error says that there is a
// document, but that neither the file nor the copy can be used. Load changes no file. It is
// called once, before the first Save.
//
// After pace.Patience it gives up, with pace.ErrHangs. Then another goroutine calls late, unless that
// is nil, once the file system answers. No Save writes before.
func (d *Document[T]) Load(late func(v T, notice, err error)) (v T, notice, err error) {
	var found struct { // once loaded is closed
		v           T
		notice, err error
	}
	loaded := make(chan struct{})
	d.loaded = loaded
	go func() {
		defer close(loaded)
		found.v, found.notice, found.err = d.load()
	}()
	timer := time.NewTimer(pace.Patience)
	defer timer.Stop()
	select {
	case <-loaded:
		return found.v, found.notice, found.err
	case <-timer.C:
	}
	if late != nil {
		go func() {
			<-loaded
			late(found.v, found.notice, found.err)
		}()
	}
	return v, nil, fmt.Errorf("%s: %w", d.Path, pace.ErrHangs)
}

// load does so, however long it takes, and notes what is damaged.
func (d *Document[T]) load() (v T, notice, err error) {
	v, err = d.read(d.Path)
	if err == nil {
		return v, nil, nil
	}
	copied, copyErr := d.read(CopyOf(d.Path))
	gone, copyGone := errors.Is(err, fs.ErrNotExist), errors.Is(copyErr, fs.ErrNotExist)
	switch {
	case gone && copyGone:
		return v, nil, nil
	case gone && copyErr == nil:
		return copied, fmt.Errorf("%s: is missing: its copy %s is used", d.Path, CopyOf(d.Path)), nil
	case copyErr == nil:
		d.damaged = []string{d.Path}
		return copied, fmt.Errorf("%s: %w: its copy %s is used; the next save puts the bad file aside as %[1]s.bad", d.Path, err, CopyOf(d.Path)), nil
	}
	d.damaged = []string{d.Path, CopyOf(d.Path)}
	return v, nil, fmt.Errorf("%s: %w; its copy %s: %w; the next save puts what is there aside as %[1]s.bad", d.Path, err, CopyOf(d.Path), copyErr)
}

// read returns what is in one file.
func (d *Document[T]) read(path string) (v T, err error) {
	f, err := Open(path)
	if err != nil {
		return v, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil {
		return v, bare(err)
	}
	return d.parse(text)
}

// parse returns the value of a document. Its errors go behind the name of the file.
func (d *Document[T]) parse(text []byte) (v T, err error) {
	var e envelope
	switch {
	case len(text) > sizeLimit:
		return v, fmt.Errorf("is larger than %d MiB", sizeLimit>>20)
	case len(bytes.TrimSpace(text)) == 0:
		return v, errEmpty
	case d.Plain != nil && d.Plain(text):
		e.Data = text
	default:
		if err := json.Unmarshal(text, &e); err != nil {
			return v, fmt.Errorf("is cut off or damaged (%w)", err)
		}
		if err := e.check(d.Version); err != nil {
			return v, err
		}
	}
	if err := json.Unmarshal(e.Data, &v); err != nil {
		var none T // not one that is half filled
		return none, fmt.Errorf("is not understood (%w)", err)
	}
	return v, nil
}

// check tells whether the data is whole, and of a version that is known.
func (e envelope) check(known int) error {
	if e.Version < 1 || e.Checksum == "" || len(e.Data) == 0 {
		return errors.New("has no version and checksum: keepcast did not write it so")
	}
	sum, err := checksum(e.Version, e.Data)
	switch {
	case err != nil:
		return err
	case e.Version > known:
		return fmt.Errorf("was written by a newer keepcast (version %d, known here is %d)", e.Version, known)
	case sum != e.Checksum:
		return errors.New("has a wrong checksum: it is damaged, or was edited by hand")
	}
	return nil
}

// checksum leaves white space out, so that the file may be indented.
func checksum(version int, data []byte) (string, error) {
	var compact bytes.Buffer
	fmt.Fprintf(&compact, "%d ", version)
	if err := json.Compact(&compact, data); err != nil {
		return "", err
	}
	sum := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

// text returns the file for a value.
func (d *Document[T]) text(v T) ([]byte, error) {
	e := envelope{Version: d.Version}
	var err error
	if e.Data, err = json.Marshal(v); err != nil {
		return nil, err
	}
	if e.Checksum, err = checksum(e.Version, e.Data); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err == nil && len(text) >= sizeLimit {
		err = fmt.Errorf("would be larger than %d MiB", sizeLimit>>20)
	}
	return append(text, '\n'), err
}

// Save writes the document, then its copy, each in one step that lasts through a power
// cut. What was damaged at the start, or is no file, is put aside first.
func (d *Document[T]) Save(v T) error {
	text, err := d.text(v)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	if d.loaded != nil {
		<-d.loaded
	}
	for len(d.damaged) > 0 {
		if err := putAside(d.damaged[0]); err != nil {
			return err
		}
		d.damaged = d.damaged[1:]
	}
	for _, path := range []string{d.Path, CopyOf(d.Path)} {
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			if err := putAside(path); err != nil {
				return err
			}
		}
		if err := snippet.Replace(path, text); err != nil {
			return err
		}
	}
	return nil
}

// asideLimit bounds how many bad files are kept.
const asideLimit = 9

// putAside keeps a bad file under another name: FILE.bad, or else FILE.bad2 to FILE.bad9.
// A regular file stays until it is replaced, where there are hard links: a crash in
// between must not leave nothing at all.
func putAside(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	aside := path + ".bad"
	for n := 2; n <= asideLimit; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.bad%d", path, n)
	}
	if err == nil && info.Mode().IsRegular() && os.Link(path, aside) == nil {
		return nil
	}
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("%s: it can't be used, and not be put aside: %w", path, err)
	}
	return nil
}
