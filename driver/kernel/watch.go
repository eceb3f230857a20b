package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/pace"
)

const (
	watchBuffer = 1 << 20               // bytes the kernel may queue for us; it caps at net.core.rmem_max
	watchDelay  = 20 * time.Millisecond // how long changes are gathered after the first was told
)

// Watch calls changed when a managed interface, lo, an address of such an interface or a
// local delivery route of keepcast changes, by whomever. The first change is
// told at once, those that follow on its heels together. It starts by calling
// changed, and calls it when the kernel had to drop notices, so that nothing is
// missed: the caller then compares everything.
func (k *Kernel) Watch(ctx context.Context, changed func()) error {
	s, err := nl.SubscribeAt(k.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("subscribing to netlink: %w", err)
	}
	defer s.Close()
	if err := errors.Join(s.SetReceiveBufferSize(watchBuffer, false), onlyOwnRoutes(s)); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	return k.watch(ctx, s, changed)
}

func (k *Kernel) watch(ctx context.Context, s *nl.NetlinkSocket, changed func()) error {
	defer context.AfterFunc(ctx, s.Close)() // closing ends Receive
	dirty := pace.NewBell()
	ended := make(chan error, 1)
	go func() { ended <- k.receive(s, dirty) }()
	err := gather(dirty, ended, changed)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the error is that of the socket we closed
	}
	return err
}

// gather turns dirty marks into calls of changed until receive has ended.
func gather(dirty pace.Bell, ended <-chan error, changed func()) error {
	for {
		changed()
		select {
		case err := <-ended:
			return err
		case <-time.After(watchDelay):
		}
		select {
		case err := <-ended:
			return err
		case <-dirty:
		}
	}
}

// receive marks dirty for each notice that concerns us, until s is closed.
func (k *Kernel) receive(s *nl.NetlinkSocket, dirty pace.Bell) error {
	k.vrfs.forget(true)
	defer k.vrfs.forget(false)
	own, err := k.indexes()
	if err != nil {
		return err
	}
	for {
		notices, from, err := s.Receive()
		if names := k.interfaces(); err == nil && len(names) != own.managed {
			if own, err = k.indexes(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// The socket goes on, only the notices are lost.
			k.log.Warn("netlink notices lost, comparing everything")
			k.vrfs.forget(true)
			dirty.Ring()
			if own, err = k.indexes(); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("receiving from netlink: %w", err)
		case from.Pid != nl.PidKernel:
		default:
			for _, n := range notices {
				if n.Header.Type == unix.RTM_NEWLINK || n.Header.Type == unix.RTM_DELLINK {
					k.vrfs.forget(true)
				}
				if k.concerns(n, own) {
					dirty.Ring()
				}
			}
		}
	}
}

// ownLinks are the indexes of the managed interfaces that there are.
type ownLinks struct {
	managed int // how many interfaces were managed when this was made
	index   map[int]bool
}

// indexes looks up the managed interfaces.
func (k *Kernel) indexes() (ownLinks, error) {
	h, err := k.asking.take()
	if err != nil {
		return ownLinks{}, err
	}
	defer k.asking.put(h)
	names := k.interfaces()
	own := ownLinks{managed: len(names), index: map[int]bool{}}
	for _, name := range names {
		link, err := linkNamed(h, name)
		if err != nil {
			return own, err
		}
		if link != nil {
			own.index[link.Attrs().Index] = true
		}
	}
	return own, nil
}

// concerns tells whether a notice is about what keepcast manages; own is kept
// right from the notices as interfaces are made anew or renamed.
func (k *Kernel) concerns(n syscall.NetlinkMessage, own ownLinks) bool {
	switch n.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return own.index[int(nl.DeserializeIfAddrmsg(n.Data).Index)]
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return true // the filter let only our own pass
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		msg := nl.DeserializeIfInfomsg(n.Data)
		index := int(msg.Index)
		if n.Header.Type == unix.RTM_NEWLINK && slices.Contains(k.interfaces(), linkName(n.Data[msg.Len():])) {
			own.index[index] = true
		}
		// IPv6 local routes go with lo, and can come back only once it is up.
		return own.index[index] || index == loopback
	default:
		return false
	}
}

func linkName(attributes []byte) string {
	as, err := nl.ParseRouteAttr(attributes)
	if err != nil {
		return ""
	}
	for _, a := range as {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return unix.ByteSliceToString(a.Value)
		}
	}
	return ""
}

// onlyOwnRoutes has the kernel drop the notices of all routes but our own. On a
// router with a full table there are thousands a second, each of which would
// wake keepcast for nothing and overflow its buffer.
func onlyOwnRoutes(s *nl.NetlinkSocket) error {
	// Offsets into struct nlmsghdr (16 bytes) and struct rtmsg behind it. BPF
	// loads in network order, the type is in the machine's.
	const typeAt, protocolAt = 4, 16 + 5
	kind := func(t uint16) uint32 { return uint32(binary.BigEndian.Uint16(nl.Uint16Attr(t))) }
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: kind(unix.RTM_NEWROUTE), Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: kind(unix.RTM_DELROUTE), Jf: 2},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: protocolAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: LocalProtocol, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}, // keep the whole message
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(s.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}
