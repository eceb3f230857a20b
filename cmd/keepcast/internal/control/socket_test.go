package control

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/trust"
)

// alone runs f in a thread with mounts and credentials of its own, which ends with f.
func alone(t *testing.T, f func()) {
	t.Helper()
	drivertest.NeedsRoot(t, "for mounts and credentials of its own")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends
		if err := syscall.Unshare(syscall.CLONE_FS | syscall.CLONE_NEWNS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
			t.Errorf("private mounts: %v", err)
			return
		}
		f()
	}()
	<-done
}

// withGroup is alone on a host whose only groups are root and keepcast.
func withGroup(t *testing.T, f func()) {
	t.Helper()
	groups := filepath.Join(t.TempDir(), "group")
	drivertest.WriteFile(t, groups, "root:x:0:\nkeepcast:x:4711:\n")
	alone(t, func() {
		if err := syscall.Mount(groups, "/etc/group", "", syscall.MS_BIND, ""); err != nil {
			t.Errorf("groups: %v", err)
			return
		}
		f()
	})
}

// Members of the group keepcast may drain without being root; nobody else may.
func TestSocketGroup(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	withGroup(t, func() {
		l, err := Listen(t.Context(), path)
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			return
		}
		if of := info.Sys().(*syscall.Stat_t); of.Uid != 0 || of.Gid != 4711 || info.Mode().Perm() != 0o660 {
			t.Errorf("the socket is of user %d and group %d, with mode %s", of.Uid, of.Gid, info.Mode())
		}
	})
}

// A socket that can't be given to the group is not left open to the wrong one.
func TestSocketNotGiven(t *testing.T) {
	dir := drivertest.SocketDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keepcast.sock")
	withGroup(t, func() {
		// As a user who is no member. Only this thread: the syscall package would change all.
		const nobody = 65534
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); errno != 0 {
			t.Errorf("setfsuid: %v", errno)
			return
		}
		l, err := Listen(t.Context(), path)
		if err == nil {
			l.Close()
		}
		if got, want := drivertest.ErrText(err), "control socket: chown "+path+": operation not permitted"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenFails(t *testing.T) {
	dir := drivertest.SocketDir(t)
	drivertest.WriteFile(t, dir+"/file", "")
	if err := os.MkdirAll(dir+"/full/x", 0o755); err != nil {
		t.Fatal(err)
	}
	long := dir + "/" + strings.Repeat("x", 108)
	for path, want := range map[string]string{
		dir + "/file/keepcast.sock": "control socket: mkdir " + dir + "/file: not a directory",
		dir + "/full":               "control socket: remove " + dir + "/full: directory not empty",
		long:                        "control socket: listen unix " + long + ": bind: invalid argument",
	} {
		l, err := Listen(t.Context(), path)
		if err == nil {
			l.Close()
		}
		if got := drivertest.ErrText(err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A socket without a file would be open to everybody, as it has no mode.
func TestListenAbstract(t *testing.T) {
	l, err := Listen(t.Context(), "@keepcast-test-"+strconv.Itoa(os.Getpid()))
	if err == nil {
		l.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The keepcast that runs is only knocked at: no connection stays with it.
func TestListenKnocks(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	running, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if _, err := Listen(t.Context(), path); err == nil {
		t.Fatal("two listen at one socket")
	}
	conn, err := running.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(deadline())
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// What fails at the socket is said.
func TestSocketFaults(t *testing.T) {
	if err := restrict("/nowhere/keepcast.sock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	l, err := Listen(t.Context(), filepath.Join(drivertest.SocketDir(t), "keepcast.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.(*socket).Listener.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if peer := trust.Peer(&net.UnixConn{}); peer != nil {
		t.Errorf("got %v", peer)
	}
}
