package checks

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "wireguard",
		Doc: "Looks at a WireGuard interface of this host, of the kernel or of a program such as wireguard-go: it has to be up, and to listen. With " +
			"`peers` it wants peers whose last handshake is young, too. Take care with that: WireGuard makes no handshake while there is no " +
			"traffic, so idle clients look like a failure. And a withdrawn service gets none by its anycast address, so it would stay " +
			"withdrawn. Set up a peer elsewhere that reaches this host by an address of its own, with a persistent keepalive of 25 s, which " +
			"brings a handshake every two minutes, and name its key in `peer_keys`.",
		Example: "interface: wg0\npeers: 1\npeer_keys: [\"bm90IGEgcmVhbCBrZXksIGJ1dCBvbmUgb2YgMzIgYnk=\"]\n",
		New:     func() Checker { return new(WireGuard) },
		AtOnce:  "the interface goes down or is removed",
	})
}

// WireGuard is fit when an interface is up and listens, and peers talk to it.
type WireGuard struct {
	Interface  string        `config:"interface" required:"true" doc:"Name of the interface."`
	ListenPort int           `config:"listen_port" default:"0" min:"0" max:"65535" doc:"UDP port that it has to listen on. 0: any."`
	Peers      int           `config:"peers" default:"0" min:"0" doc:"How many peers must have had a handshake within 'handshake_within'."`
	PeerKeys   []string      `config:"peer_keys" doc:"Public keys of the peers that 'peers' counts, as 'wg show' writes them. Empty: all."`
	Within     time.Duration `config:"handshake_within" default:"3m" min:"1s" max:"24h" doc:"How young a handshake has to be. With traffic there is one every two minutes, and after three the session is over."`
	Socket     string        `config:"socket" doc:"Socket of the program that the interface is of. Empty: '/var/run/wireguard/INTERFACE.sock', unless the interface is of the kernel. It is root's: keepcast must be allowed to connect."`
}

// Validate implements Validator.
func (w *WireGuard) Validate() error {
	if w.Interface == "" || interfaceName(w.Interface) != nil {
		return fmt.Errorf("interface: %q is no name of an interface", w.Interface)
	}
	keys, err := w.keys()
	switch {
	case err != nil:
		return err
	case w.Peers == 0 && len(keys) > 0:
		return errors.New("peer_keys: only with peers")
	case len(keys) > 0 && w.Peers > len(keys):
		return fmt.Errorf("peers: %d peers can't be had of the %d of peer_keys", w.Peers, len(keys))
	}
	return nil
}

// wgKey is a public key.
type wgKey [32]byte

// keys reads the keys of the peers that count.
func (w *WireGuard) keys() ([]wgKey, error) {
	var keys []wgKey
	for i, text := range w.PeerKeys {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != len(wgKey{}) {
			return nil, fmt.Errorf("peer_keys[%d]: %q is no public key, which is 44 characters of base64", i, text)
		}
		if slices.Contains(keys, wgKey(raw)) {
			return nil, fmt.Errorf("peer_keys[%d]: %q is there twice", i, text)
		}
		keys = append(keys, wgKey(raw))
	}
	return keys, nil
}

// Check implements Checker.
func (w *WireGuard) Check(ctx context.Context) error {
	if err := w.look(ctx); err != nil {
		return fmt.Errorf("%s: %w", w.Interface, err)
	}
	return nil
}

func (w *WireGuard) look(ctx context.Context) error {
	link, err := askLink(ctx, w.Interface)
	if err != nil {
		return health.Void(err)
	}
	if link == nil {
		return health.Certain(errors.New("no such interface"))
	}
	if link.Attrs().RawFlags&unix.IFF_UP == 0 {
		return health.Certain(errors.New("the interface is down"))
	}
	var d wgDevice
	if link.Type() == "wireguard" && w.Socket == "" {
		d, err = kernelDevice(w.Interface)
	} else {
		d, err = userDevice(ctx, cmp.Or(w.Socket, "/var/run/wireguard/"+w.Interface+".sock"))
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("it is no interface of WireGuard: it is of type %s, and no program has a socket for it: %w", link.Type(), err)
	}
	if err != nil {
		return err
	}
	sight(ctx).saw("interface", "up, listens on port %d, has %d peers", d.port, len(d.peers))
	return w.judge(ctx, d, time.Now())
}

// judge says why a device is not fit.
func (w *WireGuard) judge(ctx context.Context, d wgDevice, now time.Time) error {
	switch {
	case d.port == 0:
		return errors.New("it listens on no port")
	case w.ListenPort != 0 && int(d.port) != w.ListenPort:
		return fmt.Errorf("it listens on port %d, expected %d", d.port, w.ListenPort)
	}
	keys, err := w.keys()
	if err != nil {
		return err
	}
	count, young, newest := 0, 0, time.Time{}
	for _, p := range d.peers {
		if len(keys) > 0 && !slices.Contains(keys, p.key) {
			continue
		}
		count++
		if now.Sub(p.handshake) <= w.Within {
			young++
		}
		if p.handshake.After(newest) {
			newest = p.handshake
		}
	}
	last := "there was none"
	if !newest.IsZero() {
		last = fmt.Sprintf("the last was %s ago", now.Sub(newest).Round(time.Second))
	}
	sight(ctx).saw("handshakes", "%d of %d peers had one within %s, %s", young, count, w.Within, last)
	if young < w.Peers {
		return fmt.Errorf("%d of %d peers had a handshake within %s, expected %d: %s", young, count, w.Within, w.Peers, last)
	}
	return nil
}

// Watch implements Watcher. No notice tells of the peers.
func (w *WireGuard) Watch(ctx context.Context, changed func()) error {
	return (&Interface{Interface: w.Interface}).Watch(ctx, changed)
}
