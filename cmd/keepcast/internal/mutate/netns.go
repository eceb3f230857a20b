package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// startApart starts a command in a network namespace of its own, where it has a loopback
// and nothing else: a mutant may change addresses and routes that its original would not.
// Without root nothing can, and there is none.
func startApart(cmd *exec.Cmd) error {
	if os.Geteuid() != 0 {
		return cmd.Start()
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := enterNamespace(); err != nil {
			started <- fmt.Errorf("network namespace: %w", err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// enterNamespace moves this thread into a new network namespace.
func enterNamespace() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
