package checks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

// kernelTimeout is how long the kernel may take to answer where ctx has no deadline.
const kernelTimeout = 5 * time.Second

// kernel opens a netlink socket to ask the kernel about links and addresses. It waits no
// longer than ctx allows. No privilege is needed.
func kernel(ctx context.Context) (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	// The library has no other way: Close, while it asks, is a data race.
	if err := h.SetSocketTimeout(remaining(ctx)); err != nil {
		h.Close()
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return h, nil
}

// remaining returns how long the kernel may take to answer.
func remaining(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return max(time.Until(until), time.Millisecond)
	}
	return kernelTimeout
}

// unanswered puts a timeout of a netlink socket into words.
func unanswered(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return health.Void(timeoutError{})
	}
	return err
}

// linkNamed returns an interface; nil if there is none of that name.
func linkNamed(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the kernel for %s: %w", name, unanswered(err))
	}
	return link, nil
}

// askLink is linkNamed over a socket of its own.
func askLink(ctx context.Context, name string) (netlink.Link, error) {
	h, err := kernel(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return linkNamed(h, name)
}

// interfaceName says what is wrong with the name of an interface, of which the kernel takes
// 15 bytes (dev_valid_name).
func interfaceName(name string) error {
	switch {
	case len(name) >= unix.IFNAMSIZ:
		return fmt.Errorf("interface: %q is longer than %d bytes", name, unix.IFNAMSIZ-1)
	case name == ".", name == "..", strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return fmt.Errorf("interface: %q is no name of an interface", name)
	}
	return nil
}

// noticeBuffer is how many bytes of notices the kernel may queue for one watch. It caps that
// at net.core.rmem_max.
const noticeBuffer = 1 << 20

// follow calls changed for the notices of these groups of rtnetlink(7) that concern it, until
// ctx is done. It starts by calling changed. The filter, if there is one, keeps notices away.
// When the kernel had to drop notices, it calls changed and ends, for what concerns it may
// depend on them.
func follow(ctx context.Context, groups []uint, filter []unix.SockFilter, concerns func(syscall.NetlinkMessage) bool, changed func()) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("subscribing to netlink: %w", err)
	}
	defer s.Close()
	err = s.SetReceiveBufferSize(noticeBuffer, false)
	if err == nil && filter != nil {
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.SetsockoptSockFprog(s.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	}
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	defer context.AfterFunc(ctx, s.Close)() // closing ends Receive
	changed()                               // before the subscription something may have been missed
	for {
		notices, from, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			changed()
			return fmt.Errorf("netlink notices were lost: %w", err)
		case err != nil:
			return fmt.Errorf("receiving from netlink: %w", err)
		case from.Pid != nl.PidKernel: // any local user may send
			continue
		}
		ours := false
		for _, n := range notices {
			ours = concerns(n) || ours
		}
		if ours {
			changed()
		}
	}
}

// attributes returns those of a notice behind its header; none of what is too short.
func attributes(n syscall.NetlinkMessage, header int) []syscall.NetlinkRouteAttr {
	if len(n.Data) < header {
		return nil
	}
	all, _ := attributesIn(n.Data[header:])
	return all
}

// attributesIn reads attributes (struct rtattr) up to the first that is broken, if one is,
// and leaves the flags of their types out. That of the library panics where the last one is
// not padded.
func attributesIn(data []byte) (all []syscall.NetlinkRouteAttr, err error) {
	const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
	for len(data) >= unix.SizeofRtAttr {
		a := syscall.RtAttr{Len: binary.NativeEndian.Uint16(data), Type: binary.NativeEndian.Uint16(data[2:]) &^ flags}
		if a.Len < unix.SizeofRtAttr || int(a.Len) > len(data) {
			return all, fmt.Errorf("an attribute says that it has %d bytes, of %d", a.Len, len(data))
		}
		all = append(all, syscall.NetlinkRouteAttr{Attr: a, Value: data[unix.SizeofRtAttr:a.Len]})
		data = data[min(len(data), aligned(int(a.Len))):]
	}
	return all, nil
}

// aligned returns a length up to where the next begins (RTA_ALIGN, RTNH_ALIGN).
func aligned(length int) int { return (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1) }
