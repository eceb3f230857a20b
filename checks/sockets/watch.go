package sockets

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"

	"github.com/keepcast/keepcast/driver/ask"
)

// Watch tells those who follow an address and port when a socket that waited there for
// clients closes. It has one netlink socket, however many follow.
//
// Not seen is a listener that is shut down but not closed, one that another process holds
// open, too, and one in another network namespace.
type Watch struct {
	// Local says why the kernel would not deliver an address on this host, or nil.
	Local func(netip.Addr) error

	// Who finds that a service is gone does not wait for those who list what there is.
	looking, listing *ask.Asker

	mu        sync.Mutex                    // guards what follows, and the targets of all followers
	followers map[uint16]map[*Follower]bool // by port
	events    *nl.NetlinkSocket             // nil while there is none
	passed    []ports                       // what its filter lets through
	broken    error                         // why there is none, or what it does not tell of
}

// New returns a Watch that does not run yet.
func New(local func(netip.Addr) error) *Watch {
	return &Watch{Local: local, looking: newAsker(), listing: newAsker(), followers: map[uint16]map[*Follower]bool{}}
}

// Follower is one who wants to be told.
type Follower struct {
	watch   *Watch
	wake    func()
	targets []*known // a few, see mostTargets
}

// target is where a follower connects to.
type target struct {
	network string // tcp or udp
	to      netip.AddrPort
}

// known is what is known of the sockets that take what is sent to a target.
type known struct {
	target
	open  map[uint64]int // cookies of those that were open when the kernel was asked last, with their devices
	stale bool           // something has changed since, or the kernel was never asked
	ends  int            // of sockets, that were told
	asked time.Time      // when the kernel was
}

// end notes that a socket was closed. An answer of the kernel may be younger than that, and
// know nobody, for the news of an end comes a moment after it: who is there next is asked anew.
func (k *known) end() {
	k.stale, k.asked = true, time.Time{}
	k.ends++
}

// Follow returns a Follower that follows nothing yet. wake is called for each change, by the
// goroutine of Run. It must not block.
func (w *Watch) Follow(wake func()) *Follower {
	return &Follower{watch: w, wake: wake}
}

// Aim follows what the follower is about to connect to, over tcp or udp.
func (f *Follower) Aim(network string, to netip.AddrPort) {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	at := targetOf(network, to)
	if f.known(at) == nil {
		if len(f.targets) >= mostTargets {
			f.forget()
		}
		f.targets = append(f.targets, &known{target: at, stale: true})
		f.watch.add(f, at.to.Port())
	}
}

// known returns what is known of a target, or nil if it is not followed.
func (f *Follower) known(at target) *known {
	for _, k := range f.targets {
		if k.target == at {
			return k
		}
	}
	return nil
}

// Ended returns a number that changes when a socket was closed which waited for clients on one
// of the targets.
func (f *Follower) Ended() int {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	ended := 0
	for _, k := range f.targets {
		ended += k.ends
	}
	return ended
}

// mostTargets is how many targets a follower has. A check has one or a few, unless a server
// sends it on to always another address: then all are forgotten now and then.
const mostTargets = 64

func targetOf(network string, to netip.AddrPort) target {
	return target{network, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())}
}

// askAgain is how long after the kernel knew nobody it is asked again, where the service is
// fit: it is on another host, in a container or behind a filter that redirects.
const askAgain = time.Minute

// Learn asks the kernel who waits for clients on the targets, where that is not known. It
// is to be called when the service is fit: those that it finds have served it.
func (f *Follower) Learn() {
	for at, ends := range f.unknown() {
		// Asked without the lock: the kernel may have a long list.
		if open, err := f.watch.open(at); err == nil { // else polling finds what happens meanwhile
			f.learned(at, ends, open)
		}
	}
}

// learned takes an answer of the kernel that was asked for after so many ends. Where there
// was another one since, it may be out of date.
func (f *Follower) learned(at target, ends int, open map[uint64]int) {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	if k := f.known(at); k != nil && k.ends == ends {
		k.open, k.stale, k.asked = open, len(open) == 0, time.Now()
	}
}

// unknown returns the targets of which it is not known who waits there, with their ends.
func (f *Follower) unknown() map[target]int {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	var out map[target]int
	for _, k := range f.targets {
		if k.stale && (len(k.open) > 0 || time.Since(k.asked) >= askAgain) {
			if out == nil {
				out = map[target]int{}
			}
			out[k.target] = k.ends
		}
	}
	return out
}

// add has the events of a port come, too.
func (w *Watch) add(f *Follower, port uint16) {
	if w.followers[port] == nil {
		w.followers[port] = map[*Follower]bool{}
	}
	w.followers[port][f] = true
	if !slices.ContainsFunc(w.passed, func(p ports) bool { return p.from <= port && port <= p.to }) {
		w.broken = w.filter()
	}
}

// Close ends the following.
func (f *Follower) Close() {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	f.forget()
}

// forget has the follower follow nothing.
func (f *Follower) forget() {
	w := f.watch
	for _, k := range f.targets {
		port := k.to.Port()
		if delete(w.followers[port], f); len(w.followers[port]) == 0 {
			delete(w.followers, port)
		}
	}
	f.targets = nil // the filter lets a few events too many through, until another port comes
}

// Vanished reports whether a socket has waited for clients on a target that is on this
// host, as Learn has found, and none does now that a client of it would reach. Of a name with
// several addresses, as localhost has, only one may have a service: its port tells which
// targets belong together.
func (f *Follower) Vanished(network string, to netip.AddrPort) bool {
	waited := f.waited(network, to.Port())
	for at, devices := range waited {
		if f.watch.Local(at.to.Addr()) != nil {
			return false
		}
		for device := range devices {
			if taken, err := at.taken(f.watch.looking, device); err != nil || taken {
				return false
			}
		}
	}
	return len(waited) > 0
}

// waited returns the targets on a port on which a socket has waited for clients, with the
// devices that these sockets were bound to.
func (f *Follower) waited(network string, port uint16) map[target]map[int]bool {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	all := map[target]map[int]bool{}
	for _, k := range f.targets {
		if k.network == network && k.to.Port() == port && len(k.open) > 0 {
			all[k.target] = devicesOf(k.open)
		}
	}
	return all
}

func devicesOf(open map[uint64]int) map[int]bool {
	devices := map[int]bool{}
	for _, device := range open {
		devices[device] = true
	}
	return devices
}

// open returns the cookies of the sockets that take what is sent to a target, with the devices
// that they are bound to. Those count wherever they are bound to: when they end it is told. What
// the kernel has in its list, but would not find for a client, Vanished would miss at once.
func (w *Watch) open(t target) (map[uint64]int, error) {
	all, err := listening(w.listing, t.network, t.to.Port())
	if err != nil {
		return nil, err
	}
	open := map[uint64]int{}
	for _, s := range all {
		if s.Takes(t.to) {
			open[s.Cookie] = s.Device
		}
	}
	for device := range devicesOf(open) {
		if found, err := t.taken(w.looking, device); err != nil || !found {
			return nil, cmp.Or(err, fmt.Errorf("%s of %s is listed, but not found", t.to, t.network))
		}
	}
	return open, nil
}
