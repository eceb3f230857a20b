package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
)

// Look returns the path of the program that a command in dir (empty: here) would run,
// or why it can't.
func Look(dir, program string) (string, error) {
	path, err := locate(dir, program)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%q is in no directory of PATH: give its whole path", program)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s may not be executed: chmod +x %s", path, path)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist", path)
	}
	return "", fmt.Errorf("%s: %w", path, errors.Unwrap(err))
}

// locate returns the path of the program that a command in dir would run. Of what can't be
// run it returns the path, too, as far as it is known.
func locate(dir, program string) (string, error) {
	path := program
	if dir != "" && strings.Contains(path, "/") && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return path, err
	}
	return found, nil
}
