package child

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// shell starts commands, see Command.
const shell = "/bin/sh"

// Command returns the command argv, to be run in dir (empty: here). The error is what a
// start of it would say.
//
// Until a new process has entered its directory and found its program, the thread that
// started it waits for it in the kernel, and the whole of keepcast waits for that thread as
// soon as memory is to be collected (vfork, see syscall.forkExec). So a directory or a program
// on a file system that hangs, such as NFS without its server, would stop all that keepcast
// decides. Where that can be, the command is started by way of the shell, which then is the
// command itself (exec). The shell is on the file system of the host itself. A host that has
// none goes without this.
func Command(ctx context.Context, dir string, argv []string) (*exec.Cmd, error) {
	return command(ctx, dir, argv, direct)
}

// command is Command, with what tells how a program can be started without the shell.
func command(ctx context.Context, dir string, argv []string, direct func(string) (path string, ok bool)) (*exec.Cmd, error) {
	program, err := found(dir, argv[0])
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(shell); err != nil {
		cmd := exec.CommandContext(ctx, program, argv[1:]...)
		cmd.Dir = dir
		return cmd, nil
	}
	if dir == "" {
		if path, ok := direct(program); ok {
			cmd := exec.CommandContext(ctx, path, argv[1:]...)
			cmd.Args[0] = program
			return cmd, nil
		}
	}
	words := []string{"-c", `exec "$@"`, shell}
	if dir != "" {
		words = []string{"-c", `cd -- "$0" && export PWD && exec "$@"`, dir}
	}
	words = append(words, program)
	return exec.CommandContext(ctx, shell, append(words, argv[1:]...)...), nil
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
