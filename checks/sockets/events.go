package sockets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The groups of NETLINK_SOCK_DIAG that tell of sockets that were closed, from
// linux/sock_diag.h.
const (
	groupTCP4 = iota + 1
	groupUDP4
	groupTCP6
	groupUDP6
)

// Run passes on what the kernel tells, until ctx is done. It returns early only with the
// error that ended it; those who follow then have their intervals, until Run is called again.
func (w *Watch) Run(ctx context.Context) (err error) {
	defer func() { w.end(err) }()
	defer w.looking.Close()
	defer w.listing.Close()
	events, err := nl.Subscribe(unix.NETLINK_INET_DIAG, groupTCP4, groupUDP4, groupTCP6, groupUDP6)
	if err != nil {
		return fmt.Errorf("subscribing to the ends of sockets: %w", err)
	}
	defer context.AfterFunc(ctx, events.Close)()
	defer events.Close()
	if err := w.begin(events); err != nil {
		return err
	}
	w.compare() // with what was there before
	for {
		messages, _, err := events.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // events were lost
			drain(events)
			w.compare()
		case err != nil:
			return fmt.Errorf("reading the ends of sockets: %w", err)
		}
		w.tell(messages)
	}
}

// drain reads what waits, and drops it. Until nothing waits the kernel does not say that
// it has lost more.
func drain(events *nl.NetlinkSocket) {
	buf := make([]byte, nl.RECEIVE_BUFFER_SIZE)
	for {
		_, _, err := unix.Recvfrom(events.GetFd(), buf, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Followed returns how many targets are followed of which it is known who waits there.
func (w *Watch) Followed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for port, followers := range w.followers {
		for f := range followers {
			for _, k := range f.targets {
				if k.to.Port() == port && len(k.open) > 0 {
					n++
				}
			}
		}
	}
	return n
}

// Broken says why not everybody is told, or nil.
func (w *Watch) Broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

func (w *Watch) begin(events *nl.NetlinkSocket) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events, w.broken = events, nil
	return w.filter()
}

func (w *Watch) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events, w.passed, w.broken = nil, nil, err
}

// filter has the kernel pass on the events of all ports that are followed.
func (w *Watch) filter() error {
	if w.events == nil {
		return w.broken
	}
	wanted := rangesOf(slices.Collect(maps.Keys(w.followers)), mostRanges)
	f := program(wanted)
	err := unix.SetsockoptSockFprog(w.events.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]})
	if err != nil {
		return fmt.Errorf("filtering the ends of sockets: %w", err)
	}
	w.passed = wanted
	return nil
}

// tell wakes those whose sockets were closed.
func (w *Watch) tell(messages []syscall.NetlinkMessage) {
	for _, m := range messages {
		closed, peer, ok := parse(m.Data)
		if !ok || peer || m.Header.Type != unix.SOCK_DIAG_BY_FAMILY {
			continue
		}
		w.closed(closed)
	}
}

// closed wakes those who follow a socket that was closed. While it is not known which
// sockets are open, any counts that took what they send.
func (w *Watch) closed(s Socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.followers[s.Local.Port()] {
		for _, k := range f.targets {
			_, known := k.open[s.Cookie]
			if k.network == s.Network && s.Takes(k.to) && (k.stale || known) {
				k.end()
				f.wake()
			}
		}
	}
}

// compare asks the kernel which sockets are open now, and wakes those of whose sockets one
// is not. Where the kernel does not answer all are woken.
func (w *Watch) compare() {
	open := map[uint64]bool{}
	all, err := All()
	for _, s := range all {
		open[s.Cookie] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, followers := range w.followers {
		for f := range followers {
			f.compare(open, err == nil)
		}
	}
}

func (f *Follower) compare(open map[uint64]bool, answered bool) {
	for _, k := range f.targets {
		gone := !answered
		for cookie := range k.open {
			gone = gone || !open[cookie]
		}
		if gone && !k.stale {
			k.end()
			f.wake()
		}
	}
}
