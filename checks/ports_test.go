package checks

import (
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// inSpace calls do on a thread in a network namespace of its own, once commands have been
// run there.
func inSpace(t *testing.T, commands string, do func()) {
	t.Helper()
	drivertest.NeedsRoot(t, "for a network namespace")
	done := make(chan error)
	go func() {
		// The thread stays locked and dies with the goroutine: it is in the new namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = exec.CommandContext(t.Context(), "sh", "-ec", commands).Run()
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Connections that wait to be forgotten had taken all local ports, and a service that
// answered was withdrawn for it.
func TestWithoutPorts(t *testing.T) {
	noLeaks(t)
	inSpace(t, "ip link set lo up; echo 40000 40003 >/proc/sys/net/ipv4/ip_local_port_range", func() {
		l, err := net.Listen("tcp", "127.0.0.1:50000")
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		service := &TCP{Address: l.Addr().String()}
		if err := service.Check(within(t)); err != nil {
			t.Errorf("with ports left: %v", err)
		}
		for {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				break
			}
			defer conn.Close()
		}
		if err := service.Check(within(t)); !health.IsVoid(err) {
			t.Errorf("without ports: %v", err)
		}
	})
}

// A host that has no address to connect from has the same error, but not for want of
// something that comes back: such a check fails.
func TestWithoutSourceAddress(t *testing.T) {
	inSpace(t, "ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", func() {
		err := (&TCP{Address: "[::1]:50000"}).Check(within(t))
		if err == nil || health.IsVoid(err) || !strings.HasSuffix(err.Error(), "cannot assign requested address") {
			t.Errorf("got %v", err)
		}
	})
}
