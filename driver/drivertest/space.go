package drivertest

import (
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
)

// Space returns a network namespace of its own for one test. It has no name, so it is gone with
// its last file descriptor, whatever becomes of the test.
func Space(t testing.TB) netns.NsHandle {
	t.Helper()
	NeedsRoot(t, "for a network namespace")
	type made struct {
		ns  netns.NsHandle
		err error
	}
	done := make(chan made)
	go func() {
		// The thread stays locked and dies with the goroutine: it is in the new namespace.
		runtime.LockOSThread()
		ns, err := netns.New()
		done <- made{ns, err}
	}()
	m := <-done
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { m.ns.Close() })
	return m.ns
}
