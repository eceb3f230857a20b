package trust

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer returns who is at the other end of a unix socket (unix(7), SO_PEERCRED); nil where that
// is unknown. The process of one that is out of sight, in another container, is 0.
func Peer(conn net.Conn) (peer *unix.Ucred) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { // it fails for a closed connection: then peer is nil
		if found, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			peer = found
		}
	})
	return peer
}

// PeerProcess returns the process at the other end of a unix socket; 0 where that is unknown.
func PeerProcess(conn net.Conn) int {
	if peer := Peer(conn); peer != nil {
		return int(peer.Pid)
	}
	return 0
}
