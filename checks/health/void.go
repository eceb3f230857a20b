package health

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
)

// A probe has three outcomes: the service is fit, it failed, or the probe is void, since
// keepcast itself could not make it. A void probe says nothing of the service.

// voidError marks an error by which keepcast itself could not probe.
type voidError struct{ error }

func (v voidError) Unwrap() error { return v.error }

// Void marks an error by which keepcast itself could not probe. A nil error stays nil.
func Void(err error) error {
	if err == nil {
		return nil
	}
	return voidError{err}
}

// IsVoid reports whether an error is marked as void, or by its nature is.
func IsVoid(err error) bool {
	if _, marked := errors.AsType[voidError](err); marked {
		return true
	}
	// The resolver passes on the text of such an error alone.
	resolving, byName := errors.AsType[*net.DNSError](err)
	return slices.ContainsFunc(shortages(), func(want syscall.Errno) bool {
		return errors.Is(err, want) || byName && strings.HasSuffix(resolving.Err, want.Error())
	})
}

// shortages are the errors by which the kernel says that it, or keepcast's share of it, has
// run out of something. A service causes none of them.
func shortages() []syscall.Errno {
	return []syscall.Errno{
		syscall.EMFILE,  // keepcast's descriptors
		syscall.ENFILE,  // those of the host
		syscall.ENOMEM,  // memory, or that of the cgroup
		syscall.ENOBUFS, // memory of sockets
		syscall.EAGAIN,  // processes (fork), or UDP ports (connect)
		syscall.ENOSPC,  // watches of epoll
	}
}
