// Package ask asks the kernel a question over netlink(7). The netlink library reads each
// answer into 64 KiB on the stack. A run of a check has a goroutine of its own, which would have
// to get that stack first: that takes longer than the question.
package ask

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	timeout = time.Second // the kernel answers at once; this is for a lost answer
	longest = 8 << 10     // of a part of an answer, in bytes; what netlink(7) advises
)

// ErrInterrupted is a list that something changed while the kernel made it: it may lack some.
var ErrInterrupted = errors.New("the list changed while the kernel made it")

// Asker has a netlink socket that is opened with the first question, and kept: a process
// without a descriptor left can still ask. Any number of goroutines may ask. They take turns.
type Asker struct {
	ns       netns.NsHandle
	protocol int

	mu     sync.Mutex // guards what follows
	socket *nl.NetlinkSocket
	answer []byte
}

// New returns an Asker for a netlink protocol, as unix.NETLINK_ROUTE, and a network namespace;
// netns.None() is that of the first who asks.
func New(ns netns.NsHandle, protocol int) *Asker { return &Asker{ns: ns, protocol: protocol} }

// Ask asks a question, and calls each with the data of each message of the answer, which is
// valid during the call. A question is of one message, or has unix.NLM_F_DUMP. An error of the
// kernel's is a syscall.Errno.
func (a *Asker) Ask(q *nl.NetlinkRequest, each func(data []byte)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket == nil {
		s, err := nl.GetNetlinkSocketAt(a.ns, netns.None(), a.protocol)
		if err != nil {
			return fmt.Errorf("netlink socket: %w", err)
		}
		a.socket, a.answer = s, make([]byte, longest)
	}
	if err := a.socket.Send(q); err != nil {
		return err
	}
	return a.answered(q.Seq, each)
}

// answered takes the answer to the question with a number.
func (a *Asker) answered(number uint32, each func(data []byte)) error {
	var interrupted error
	for {
		part, err := a.receive()
		if err != nil { // what is left of the answer is of no use, and would be in the way
			a.close()
			return err
		}
		for _, m := range part {
			if m.Header.Seq != number {
				continue // it answers an earlier question, too late
			}
			if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				interrupted = ErrInterrupted
			}
			if m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR {
				return errors.Join(refusal(m.Data), interrupted)
			}
			if each(m.Data); m.Header.Flags&unix.NLM_F_MULTI == 0 {
				return nil
			}
		}
	}
}

// Close closes the socket. The Asker may be used again.
func (a *Asker) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.close()
}

func (a *Asker) close() {
	if a.socket != nil {
		a.socket.Close()
		a.socket = nil
	}
}

// receive returns the messages of the next part of an answer.
func (a *Asker) receive() ([]syscall.NetlinkMessage, error) {
	fd := a.socket.GetFd()
	for {
		n, from, err := unix.Recvfrom(fd, a.answer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		sender, _ := from.(*unix.SockaddrNetlink)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // it was not ready with the question, as it mostly is
			ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(timeout.Milliseconds()))
			if ready == 0 && err == nil {
				return nil, fmt.Errorf("no answer in %s", timeout)
			}
		case err != nil:
			return nil, err
		case n > len(a.answer):
			return nil, fmt.Errorf("an answer of %d bytes, more than %d", n, len(a.answer))
		case sender != nil && sender.Pid == nl.PidKernel: // else it is of another process
			return syscall.ParseNetlinkMessage(a.answer[:n])
		}
	}
}

// refusal returns the error in the last message of an answer.
func refusal(data []byte) error {
	if len(data) < 4 {
		return nil
	}
	if number := int32(nl.NativeEndian().Uint32(data)); number != 0 {
		return syscall.Errno(-number)
	}
	return nil
}
