package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/keepcast/keepcast/driver/pace"
)

// confD is the directory of the drop-ins.
func confD(mainFile string) string { return filepath.Join(filepath.Dir(mainFile), "conf.d") }

// dropIns returns the files of the directory conf.d beside the main file, sorted, and
// what is wrong with what else is there: what looks like one and is not read, for its
// ending, or since it is a link that leads nowhere.
func dropIns(mainFile string) (paths []string, unread Faults, err error) {
	dir := confD(mainFile)
	skip := func(path, format string, args ...any) {
		unread = append(unread, Fault{At: Position{File: path}, Text: fmt.Sprintf(format, args...)})
	}
	found, err := pace.Answer(pace.Patience, func() (listing, error) { return listingOf(dir) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, pace.ErrHangs):
		return nil, nil, fmt.Errorf("drop-ins: %s: %w", dir, err)
	case err != nil:
		return nil, nil, fmt.Errorf("drop-ins: %w", err)
	case found.dead != "":
		skip(dir, deadLinkText, found.dead)
		return nil, unread, nil
	}
	dead := deadLinks(dir, found.entries)
	for i, e := range found.entries {
		path, ending := filepath.Join(dir, e.Name()), filepath.Ext(e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case ending == ".yaml" && dead[i] != "":
			skip(path, deadLinkText, dead[i])
		case ending == ".yaml":
			paths = append(paths, path)
		case strings.EqualFold(ending, ".yaml"), strings.EqualFold(ending, ".yml"):
			skip(path, "is not read: drop-ins are *.yaml, so rename it to %s.yaml", strings.TrimSuffix(e.Name(), ending))
		}
	}
	return paths, unread, nil // ReadDir sorts
}

// listing is what is in a directory.
type listing struct {
	entries []fs.DirEntry
	dead    string // where the directory leads, if it is a dead link
}

func listingOf(dir string) (l listing, err error) {
	if to, dead := deadLink(dir); dead {
		return listing{dead: to}, nil
	}
	l.entries, err = os.ReadDir(dir)
	return l, err
}

// deadLinks returns of each entry where it leads, if it is a dead link. One that can't be
// looked at in time is none: who reads it is told.
func deadLinks(dir string, entries []fs.DirEntry) []string {
	dead := make([]string, len(entries))
	_ = pace.SideBySide(entries, func(i int, e fs.DirEntry) (err error) { // the error is that of who reads it
		if e.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		dead[i], err = pace.Answer(pace.Patience, func() (string, error) {
			to, _ := deadLink(filepath.Join(dir, e.Name()))
			return to, nil
		})
		return err
	})
	return dead
}

// deadLinkText says what is wrong with a dead link.
const deadLinkText = "is a link that leads nowhere (to %s): remove it, or make what it leads to"

// deadLink returns where a symbolic link leads, if nothing is there.
func deadLink(path string) (to string, dead bool) {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ELOOP) {
		return "", false
	}
	to, err = os.Readlink(path)
	return to, err == nil
}

// leadsNowhere says so of a dead link; empty: it is none.
func leadsNowhere(path string) string {
	if to, dead := deadLink(path); dead {
		return fmt.Sprintf("%s "+deadLinkText, path, to)
	}
	return ""
}
