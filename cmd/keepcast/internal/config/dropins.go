package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	if to, dead := deadLink(dir); dead {
		skip(dir, deadLinkText, to)
		return nil, unread, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("drop-ins: %w", err)
	}
	for _, e := range entries {
		path, ending := filepath.Join(dir, e.Name()), filepath.Ext(e.Name())
		to, dead := deadLink(path)
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case ending == ".yaml" && dead:
			skip(path, deadLinkText, to)
		case ending == ".yaml":
			paths = append(paths, path)
		case strings.EqualFold(ending, ".yaml"), strings.EqualFold(ending, ".yml"):
			skip(path, "is not read: drop-ins are *.yaml, so rename it to %s.yaml", strings.TrimSuffix(e.Name(), ending))
		}
	}
	return paths, unread, nil // ReadDir sorts
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
