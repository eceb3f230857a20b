package control

import (
	"context"
	"net"
	"os/user"
	"strconv"
	"time"

	"github.com/keepcast/keepcast/driver/trust"
	"golang.org/x/sys/unix"
)

// peerKey is the key of a connection's *unix.Ucred in the context of its requests.
type peerKey struct{}

// withPeer notes who is at the other end of a unix socket, as the kernel says.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*counted); ok {
		conn = c.Conn
	}
	if peer := trust.Peer(conn); peer != nil {
		return context.WithValue(ctx, peerKey{}, peer)
	}
	return ctx
}

// users knows the names of users. The look-up may ask a directory in the network, which
// may hang: it is left alone then, and no other begins before it has ended.
type users struct {
	lookUp  func(uid string) (*user.User, error)
	looking chan struct{} // has room for the one look-up
}

func newUsers() users { return users{user.LookupId, make(chan struct{}, 1)} }

// lookUpLimit is how long a command waits for the name of who gave it.
const lookUpLimit = time.Second

// of returns the user who sent a request, by number where the name is not known in time;
// empty where nobody knows.
func (u users) of(ctx context.Context) string {
	peer, ok := ctx.Value(peerKey{}).(*unix.Ucred)
	if !ok {
		return ""
	}
	return u.name(strconv.FormatUint(uint64(peer.Uid), 10))
}

func (u users) name(uid string) string {
	number := "uid " + uid
	late := time.NewTimer(lookUpLimit)
	defer late.Stop()
	select {
	case u.looking <- struct{}{}:
	case <-late.C:
		return number
	}
	found := make(chan string, 1)
	go func() {
		defer func() { <-u.looking }()
		name := number
		if of, err := u.lookUp(uid); err == nil {
			name = of.Username
		}
		found <- name
	}()
	select {
	case name := <-found:
		return name
	case <-late.C:
		return number
	}
}
