package drivertest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// HangingDir returns a directory on a file system that does not answer, as NFS without its
// server: whatever looks into it waits until release is called, and then fails. At the
// end of the test it is released.
func HangingDir(t testing.TB) (dir string, release func()) {
	t.Helper()
	if os.Getenv("KEEPCAST_MUTANT") != "" {
		t.Skip("a mutant may leave the mount behind, and each would wait for seconds")
	}
	NeedsRoot(t, "to mount a file system")
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		Missing(t, "/dev/fuse: "+err.Error())
	}
	dir = t.TempDir()
	release = sync.OnceFunc(func() {
		if err := unix.Close(fuse); err != nil {
			t.Error(err)
		}
	})
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)
	if err := unix.Mount("keepcast-test", dir, "fuse", 0, options); err != nil {
		release()
		Missing(t, "mounting a file system: "+err.Error())
	}
	t.Cleanup(func() {
		release()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, release
}
