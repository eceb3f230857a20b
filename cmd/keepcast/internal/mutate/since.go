package main

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// changes returns whether a package is to be run: with -since, if one of its
// files, its survivors list or a file of a package of -with is not as it was.
// Where that can't be found out, all are to be run, and there is an error too.
func (s session) changes(ctx context.Context, packages []listed) (func(listed) bool, error) {
	always := func(listed) bool { return true }
	if s.since == "" || len(packages) == 0 {
		return always, nil
	}
	root := packages[0].Module.Dir
	differ, err := git(ctx, root, "diff", "--name-only", "--relative", "-z", "--end-of-options", s.since, "--", ".")
	if err != nil {
		return always, err
	}
	fresh, err := git(ctx, root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
	if err != nil {
		return always, err
	}
	files := append(differ, fresh...)
	return func(l listed) bool {
		list, err := filepath.Abs(s.listOf(l))
		if err != nil {
			return true
		}
		return slices.ContainsFunc(files, func(file string) bool {
			return belongs(file, l.rel()) || filepath.Join(root, file) == list ||
				slices.ContainsFunc(s.with, func(w listed) bool { return belongs(file, w.rel()) })
		})
	}, nil
}

// belongs reports whether a file is one of the package in dir, or of its testdata.
func belongs(file, dir string) bool {
	return path.Dir(file) == dir || strings.HasPrefix(file, path.Join(dir, "testdata")+"/")
}

// git returns the names that a git command prints.
func git(ctx context.Context, dir string, args ...string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], withOutput(err, nil))
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}
