package checks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeTable asks the kernel for its routes, over a socket of its own.
type routeTable struct {
	s    *nl.NetlinkSocket
	stop func() bool
}

// openRoutes opens the socket. It is closed when ctx is done.
func openRoutes(ctx context.Context) (*routeTable, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(remaining(ctx).Nanoseconds())
	if err := s.SetReceiveTimeout(&timeout); err != nil {
		s.Close()
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	// The kernel then leaves out what was not asked for. One before 4.20 can't, and is
	// left with what each looks at itself.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &routeTable{s: s, stop: context.AfterFunc(ctx, s.Close)}, nil
}

// close also ends what the kernel still has to tell.
func (t *routeTable) close() {
	t.stop()
	t.s.Close()
}

// best returns the route that the kernel takes to an address, whatever its table; nil if
// there is none, or one that rejects.
func (t *routeTable) best(to netip.Addr) (*fibRoute, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_REQUEST)
	msg := newRtMsg(to)
	msg.Dst_len, msg.Flags = uint8(to.BitLen()), unix.RTM_F_FIB_MATCH
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, to.AsSlice()))
	var found *fibRoute
	err := t.ask(req, func(r *fibRoute) bool {
		found = r
		return false
	})
	if _, none := errors.AsType[kernelError](err); none {
		return nil, nil
	}
	return found, err
}

// each calls f for the routes of a table, until f returns false. It may leave out those to
// other destinations than that one.
func (t *routeTable) each(dst netip.Addr, table uint32, f func(*fibRoute) bool) error {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req.AddData(newRtMsg(dst))
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(table)))
	err := t.ask(req, func(r *fibRoute) bool {
		// Those of IPv4 come in the order of their addresses (fib_trie.c). So the default
		// route comes first, and the rest of a full table is never read.
		if r.table == table && dst.Is4() && dst.Less(r.dst.Addr()) {
			return false
		}
		return f(r)
	})
	if none, ok := errors.AsType[kernelError](err); ok && none == kernelError(syscall.ENOENT) { // a table that never had a route
		return nil
	}
	return err
}

// newRtMsg returns the header of a question about routes of the family of an address.
func newRtMsg(of netip.Addr) *nl.RtMsg {
	msg := &nl.RtMsg{}
	msg.Family = unix.AF_INET
	if of.Is6() {
		msg.Family = unix.AF_INET6
	}
	return msg
}

// kernelError is the error by which the kernel answers a question, unlike one of the socket.
type kernelError syscall.Errno

func (e kernelError) Error() string { return syscall.Errno(e).Error() }

// Unwrap returns what the kernel said.
func (e kernelError) Unwrap() error { return syscall.Errno(e) }

// ask sends a question and hands each route of the answer to f, until f returns false.
// Then the rest of the answer is not read, and t can't be asked any more.
func (t *routeTable) ask(req *nl.NetlinkRequest, f func(*fibRoute) bool) error {
	if err := t.s.Send(req); err != nil {
		return err
	}
	for {
		messages, from, err := t.s.Receive()
		if err != nil {
			return err
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, m := range messages {
			if m.Header.Seq != req.Seq {
				continue
			}
			done, err := answer(m, f)
			if done || err != nil {
				return err
			}
		}
	}
}

// answer takes one message of an answer. It returns true for the last one that matters.
func answer(m syscall.NetlinkMessage, f func(*fibRoute) bool) (done bool, err error) {
	switch m.Header.Type {
	case unix.NLMSG_DONE, unix.NLMSG_ERROR:
		if len(m.Data) < 4 {
			return true, nil
		}
		if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
			return true, kernelError(errno)
		}
		return true, nil
	case unix.RTM_NEWROUTE:
		r, ok := parseRoute(m.Data)
		if !ok {
			return true, errors.New("the kernel told a route that can't be read")
		}
		return !f(r) || m.Header.Flags&unix.NLM_F_MULTI == 0, nil
	}
	return false, nil
}
