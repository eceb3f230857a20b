package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// copyModule copies the files of a module, so that what a broken program writes
// or removes near where it runs is not in the checkout. What git ignores, which
// may be much, stays behind.
func copyModule(ctx context.Context, root, to string) error {
	names, err := git(ctx, root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		if names, err = filesBelow(root); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := copyFile(filepath.Join(root, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("copy of the module: %w", err)
		}
	}
	return nil
}

// filesBelow returns all files below a directory, without those of git.
func filesBelow(root string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case !entry.IsDir():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// copyFile copies a file or a link. One that git knows may be gone.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm()) //nolint:gosec // a place of our own
}

// room is a copy of the module in which one run after the other takes place.
type room struct {
	dir   string          // of the package in it
	names map[string]bool // in dir from the start
}

// rooms makes so many of them.
func rooms(ctx context.Context, l listed, work string, n int) ([]room, error) {
	all := make([]room, n)
	for i := range all {
		root := filepath.Join(work, fmt.Sprintf("room%d", i))
		if err := copyModule(ctx, l.Module.Dir, root); err != nil {
			return nil, err
		}
		all[i] = room{dir: filepath.Join(root, filepath.FromSlash(l.rel())), names: map[string]bool{}}
		entries, err := os.ReadDir(all[i].dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			all[i].names[e.Name()] = true
		}
	}
	return all, nil
}

// tidy removes what a run left in the directory of the package: the next one
// might find it.
func (r room) tidy() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !r.names[e.Name()] {
			if err := os.RemoveAll(filepath.Join(r.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
