package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
)

func init() {
	register(Kind{
		Name: "listener",
		Doc: "Asks the kernel whether something listens on an address and port of this host, and how much waits there: connections that the " +
			"server has not accepted, datagrams that it has not read. It costs the server nothing, not even a connection, so it may run " +
			"every 50 ms: a busy server that hangs is seen before its first client times out. `fall` says for how many runs the queue may be " +
			"too long. A socket that is closed is noticed at once, and makes the check down at once. It sees the network namespace of " +
			"keepcast, not that of a container.",
		Example: "address: 127.0.0.1:53\nnetwork: udp\n",
		New:     func() Checker { return new(Listener) },
		AtOnce:  stopsListening,
		Instant: true,
	})
}

// Listener is fit when something listens, and little waits for it.
type Listener struct {
	Address  netip.AddrPort `config:"address" required:"true" doc:"Address and port that clients connect to. A server that listens on all addresses, such as on '[::]', is found by each of them."`
	Network  string         `config:"network" default:"tcp" enum:"tcp|udp" doc:"What it listens for."`
	MaxQueue int            `config:"max_queue" default:"50" min:"1" max:"100" doc:"How full the queue may be, in percent: of TCP the connections that wait to be accepted, of the backlog that the server asked for (listen(2)); of UDP the memory of the datagrams that wait to be read, of the receive buffer. Of several sockets, such as those of workers with SO_REUSEPORT, the fullest counts."`
	MaxDrops int            `config:"max_drops" default:"-1" min:"-1" max:"1000000000" doc:"How many datagrams the kernel may drop between two runs, since the buffer is full; for UDP only. -1: any number."`

	dropped atomic.Pointer[map[uint64]uint32] // by the cookie of each socket, until the last run
}

// Validate implements Validator.
func (l *Listener) Validate() error {
	switch {
	case l.Address.Port() == 0:
		return fmt.Errorf("address: %s has no port", l.Address)
	case l.Address.Addr().IsUnspecified():
		return fmt.Errorf("address: no client connects to %s: give one of the addresses, such as 127.0.0.1:%d", l.Address.Addr(), l.Address.Port())
	case l.MaxDrops >= 0 && l.Network != "udp":
		return errors.New("max_drops: only with network: udp")
	}
	return nil
}

// Target implements Aimed.
func (l *Listener) Target() netip.Addr { return l.Address.Addr().Unmap() }

// Check implements Checker.
func (l *Listener) Check(ctx context.Context) error {
	aim(ctx, l.Network, l.Address)
	open, err := l.open(ctx)
	if err != nil {
		return health.Void(err)
	}
	before := l.dropped.Swap(drops(open))
	if len(open) == 0 {
		return health.Certain(fmt.Errorf("nothing listens on %s %s", l.Network, l.Address))
	}
	for _, s := range open {
		sight(ctx).saw("socket", "%s %s: %d of %d %s, %d dropped since it was opened", s.Network, s.Local, s.Queue, s.Backlog, waiting(s), s.Drops)
		if err := l.judge(s, before); err != nil {
			return fmt.Errorf("%s %s: %w", s.Network, s.Local, err)
		}
	}
	return nil
}

// open returns the sockets that take what clients send there, in the VRF of the service if
// it is in one.
func (l *Listener) open(ctx context.Context) ([]sockets.Socket, error) {
	all, err := sockets.Listening(l.Network, l.Address.Port())
	if err != nil {
		return nil, err
	}
	on, err := deviceOf(ctx)
	if err != nil {
		return nil, err
	}
	var open []sockets.Socket
	for _, s := range all {
		if s.Takes(l.Address) && (on == 0 || s.Device == 0 || s.Device == on) {
			open = append(open, s)
		}
	}
	return open, nil
}

// deviceOf returns the index of the device that connections are bound to; 0: none.
func deviceOf(ctx context.Context) (int, error) {
	name, err := device(ctx)
	if err != nil || name == "" {
		return 0, err
	}
	on, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("%s, the VRF of the service's interface: %w", name, err)
	}
	return on.Index, nil
}

func drops(open []sockets.Socket) *map[uint64]uint32 {
	out := map[uint64]uint32{}
	for _, s := range open {
		out[s.Cookie] = s.Drops
	}
	return &out
}

// judge says why a socket is not fit.
func (l *Listener) judge(s sockets.Socket, before *map[uint64]uint32) error {
	if full := int(uint64(s.Queue) * 100 / uint64(max(s.Backlog, 1))); full > l.MaxQueue {
		return fmt.Errorf("%d of %d %s (%d%%, more than %d%%): the server hangs, or has more to do than it can", s.Queue, s.Backlog, waiting(s), full, l.MaxQueue)
	}
	if before == nil || l.MaxDrops < 0 {
		return nil
	}
	was, known := (*before)[s.Cookie]
	if n := int(s.Drops - was); known && n > l.MaxDrops {
		return fmt.Errorf("%d datagrams dropped since the last run, more than %d: the server hangs, or has more to do than it can", n, l.MaxDrops)
	}
	return nil
}

// waiting words what waits in the queue of a socket.
func waiting(s sockets.Socket) string {
	if s.Network == "udp" {
		return "bytes wait to be read"
	}
	return "connections wait to be accepted"
}
