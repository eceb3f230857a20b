package child

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
)

// shell starts commands, see Starter.Command.
const shell = "/bin/sh"

// Command is that of a new Starter.
func Command(ctx context.Context, dir string, argv []string) (*exec.Cmd, error) {
	return new(Starter).Command(ctx, dir, argv)
}

// found returns the path of a program, relative to dir if it is written so.
func found(dir, program string) (string, error) {
	path, err := locate(dir, program)
	switch {
	case !strings.Contains(program, "/"):
		return path, err
	case err == nil:
		return program, nil
	}
	why, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		why = syscall.EACCES
	}
	return "", &fs.PathError{Op: "fork/exec", Path: program, Err: why}
}
