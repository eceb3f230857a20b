package checks

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// mostFile is how large a file may be that a setting names, in bytes. All certificates that
// a system trusts have a quarter of it.
const mostFile = 1 << 20

// readFile returns the content of a file that a setting names. A device without an end, or
// the FIFO of another program, is none.
func readFile(path string) ([]byte, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostFile+1))
	if err == nil && len(text) > mostFile {
		err = fmt.Errorf("%s has more than %d MiB", path, mostFile>>20)
	}
	return text, err
}

// openRegular opens a file to read it, if it is a regular one: to open a FIFO waits for a
// writer, and to open a device may do something.
func openRegular(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = noContent(path, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
