package kernel

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// reserve is how many netlink sockets are kept open for each purpose. They are opened with
// the first that is needed, at the start. A process that has no descriptor left later, for
// a client or a check took the last one, can still withdraw.
const reserve = 2

// sockets are netlink sockets that are open and not in use. Any number of goroutines may
// take one.
type sockets struct {
	ns   netns.NsHandle
	free chan *netlink.Handle
}

func newSockets(ns netns.NsHandle) *sockets {
	return &sockets{ns: ns, free: make(chan *netlink.Handle, reserve)}
}

// take returns a socket that nobody else uses until it is put back.
func (s *sockets) take() (*netlink.Handle, error) {
	select {
	case h := <-s.free:
		return h, nil
	default:
		return s.dial()
	}
}

// put takes a socket back, and fills the reserve. An answer that comes late is told by its
// number, and left out by the next request.
func (s *sockets) put(h *netlink.Handle) {
	for h != nil {
		select {
		case s.free <- h:
		default:
			h.Close()
			return
		}
		if len(s.free) == cap(s.free) {
			return
		}
		var err error
		if h, err = s.dial(); err != nil {
			return // no descriptor is left: what is open has to do
		}
	}
}

// close closes the reserve. The sockets may be used again.
func (s *sockets) close() {
	for {
		select {
		case h := <-s.free:
			h.Close()
		default:
			return
		}
	}
}

func (s *sockets) dial() (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(s.ns, unix.NETLINK_ROUTE)
	if err == nil {
		if err = h.SetSocketTimeout(netlinkTimeout); err != nil {
			h.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return h, nil
}
