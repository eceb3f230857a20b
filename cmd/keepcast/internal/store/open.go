package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading. It follows no link and does not wait for
// somebody to write into a pipe. Its error lacks the name of the file, and says for people
// what it is instead of a file.
func Open(path string) (*os.File, error) {
	info, err := os.Lstat(path) // opening a device may do something
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, odd(info)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() { // exchanged meanwhile
		err = odd(info)
	}
	if err != nil {
		_ = f.Close()
		return nil, bare(err)
	}
	return f, nil
}

func odd(info fs.FileInfo) error { return fmt.Errorf("is a %s, not a file", Sort(info.Mode())) }

// Sort says for people what is no regular file.
func Sort(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// bare takes the operation and the name off an error: who calls names the file.
func bare(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	return err
}
