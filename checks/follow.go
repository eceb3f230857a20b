package checks

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
)

type followerKey struct{}

// WithFollower returns a context under which f follows each socket that Dialer connects to.
func WithFollower(ctx context.Context, f *sockets.Follower) context.Context {
	return context.WithValue(ctx, followerKey{}, f)
}

// follower returns the one of WithFollower, or nil.
func follower(ctx context.Context) *sockets.Follower {
	f, _ := ctx.Value(followerKey{}).(*sockets.Follower)
	return f
}

// aim tells the follower of ctx, if there is one, what is about to be connected to.
func aim(ctx context.Context, network string, to netip.AddrPort) {
	f, over := follower(ctx), strings.TrimRight(network, "46")
	if f != nil && (over == "tcp" || over == "udp") {
		f.Aim(over, to)
	}
}

// refused marks an error as certain if the kernel refused the connection and nothing waits
// for clients there any more. A connection that a filter refuses, or that was meant for a
// container, is refused while something listens, or where nothing ever did.
func refused(ctx context.Context, err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(err, syscall.ECONNREFUSED) || health.IsCertain(err) {
		return err
	}
	gone := false
	switch to := op.Addr.(type) {
	case *net.UnixAddr:
		gone = !listensUnix(to.Name) // it is of this host, and nothing stands between
	case *net.TCPAddr:
		gone = vanished(ctx, "tcp", to.AddrPort())
	case *net.UDPAddr:
		gone = vanished(ctx, "udp", to.AddrPort())
	}
	if gone {
		return health.Certain(err)
	}
	return err
}

// listensUnix reports whether a unix socket of that path waits for clients, also one whose
// file is another one by now: a server that reloads has the old socket until the new one
// listens. Where that can't be found out, none does.
func listensUnix(path string) bool {
	const listens = 1 << 16 // __SO_ACCEPTCON
	all, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return false
	}
	defer all.Close()
	lines := bufio.NewScanner(all)
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // Num RefCount Protocol Flags Type St Inode Path
		if len(fields) < 8 || !strings.HasSuffix(lines.Text(), " "+path) {
			continue
		}
		if flags, err := strconv.ParseUint(fields[3], 16, 64); err == nil && flags&listens != 0 {
			return true
		}
	}
	return false
}

func vanished(ctx context.Context, network string, to netip.AddrPort) bool {
	f := follower(ctx)
	return f != nil && f.Vanished(network, to)
}
