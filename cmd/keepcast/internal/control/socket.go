package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver/snippet"
	"github.com/keepcast/keepcast/driver/trust"
)

// Listen opens the control socket, for root and the group keepcast. A socket
// that a killed keepcast left behind is replaced; one that answers is an error.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	l, err := listen(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// ListenAnew returns what opens the control socket again when its file is gone. If its
// directory is gone too, that is made as it was.
func ListenAnew(path string) func(context.Context) (net.Listener, error) {
	var dir snippet.Directory
	dir.Note(filepath.Dir(path))
	return func(ctx context.Context) (net.Listener, error) {
		if err := dir.Restore(); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		return Listen(ctx, path)
	}
}

func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := free(ctx, path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	unix := l.(*net.UnixListener)
	file, err := os.Lstat(path)
	if err == nil {
		err = restrict(path)
	}
	if err != nil {
		_ = l.Close() // the error that matters is the one returned
		return nil, err
	}
	unix.SetUnlinkOnClose(false) // it could be that of another keepcast by then
	s := &socket{Listener: unix, path: path, file: file}
	s.close = sync.OnceValue(s.remove)
	return s, nil
}

// free returns an error where the path is another's: a keepcast that answers there, or
// hangs, or a file that no keepcast left.
func free(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	var late net.Error
	switch {
	case err == nil:
		defer conn.Close()
		return fmt.Errorf("%s answers: another keepcast is running%s", path, pidText(trust.PeerProcess(conn)))
	case errors.Is(err, syscall.EAGAIN), errors.As(err, &late) && late.Timeout():
		return fmt.Errorf("%s is open, and nobody answers: another keepcast hangs (ss -xlp shows which)", path)
	}
	if file, err := os.Lstat(path); err == nil && file.Mode().IsRegular() {
		return fmt.Errorf("%s is a file, and no socket: it stays as it is", path)
	}
	return nil
}

// socket is the control socket with its file.
type socket struct {
	net.Listener
	path  string
	file  fs.FileInfo
	close func() error // once: the next file of that name is another's
}

// there returns an error if the file is no longer that of this socket.
func (s *socket) there() error { return stillAt(s.path, s.file) }

// stillAt returns an error if another file is at the path now, or none.
func stillAt(path string, file fs.FileInfo) error {
	if found, err := os.Lstat(path); err != nil || !os.SameFile(file, found) {
		return fmt.Errorf("%s was removed", path)
	}
	return nil
}

// Close closes the socket, and removes its file, but not that of another keepcast.
func (s *socket) Close() error { return s.close() }

func (s *socket) remove() error {
	// While the socket is open, no other file has its inode.
	if s.there() == nil {
		_ = os.Remove(s.path) // it is replaced by the next keepcast else
	}
	return s.Listener.Close()
}

// restrict gives the socket to the group keepcast, where there is one.
func restrict(path string) error {
	if group, err := user.LookupGroup("keepcast"); err == nil {
		gid, err := strconv.Atoi(group.Gid)
		if err != nil {
			return err
		}
		// Not where it has that group already, as in the unit: its sandbox lets
		// nobody give files away.
		if os.Getegid() != gid {
			if err := os.Chown(path, -1, gid); err != nil {
				return err
			}
		}
	}
	return os.Chmod(path, 0o660)
}
