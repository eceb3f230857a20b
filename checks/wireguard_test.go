package checks

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// wgProgram answers on a socket as the program of a WireGuard interface does.
func wgProgram(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	return listenOn(t, "unix", filepath.Join(drivertest.SocketDir(t), "wg.sock"), serve)
}

// keyOf is a public key whose bytes are all the same.
func keyOf(b byte) wgKey { return wgKey(slices.Repeat([]byte{b}, 32)) }

// base64Of writes a key as `wg show` does.
func base64Of(key wgKey) string { return base64.StdEncoding.EncodeToString(key[:]) }

// hexOf writes a key as the programs do.
func hexOf(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b), 32) }

func TestWireGuard(t *testing.T) {
	ago := func(d time.Duration) string {
		return fmt.Sprintf("last_handshake_time_sec=%d\nlast_handshake_time_nsec=5\n", time.Now().Add(-d).Unix())
	}
	peer := func(b byte, handshake string) string {
		return "public_key=" + hexOf(b) + "\nendpoint=192.0.2.1:5\n" + handshake + "rx_bytes=0\n"
	}
	const never = "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
	const port = "private_key=00\nlisten_port=51820\n"
	three := port + peer(1, never) + peer(2, ago(time.Hour)) + peer(3, ago(time.Minute)) + "errno=0\n\n"
	hour := regexp.MustCompile(`1h0m\d+s`)
	for name, tt := range map[string]struct {
		says string
		c    WireGuard
		err  string
	}{
		"no peers":       {says: port + "errno=0\n\n"},
		"peers":          {says: three, c: WireGuard{Peers: 1}},
		"the peer":       {says: three, c: WireGuard{Peers: 1, PeerKeys: []string{base64Of(keyOf(3))}}},
		"an old one":     {says: three, c: WireGuard{Peers: 2, Within: 2 * time.Hour}},
		"the port":       {says: three, c: WireGuard{ListenPort: 51820}},
		"in the future":  {says: port + peer(1, ago(-time.Hour)) + "errno=0\n\n", c: WireGuard{Peers: 1}},
		"other port":     {says: three, c: WireGuard{ListenPort: 51821}, err: "lo: it listens on port 51820, expected 51821"},
		"no port":        {says: "errno=0\n\n", err: "lo: it listens on no port"},
		"too few":        {says: port + peer(2, ago(time.Hour)) + peer(1, never) + "errno=0\n\n", c: WireGuard{Peers: 1}, err: "lo: 0 of 2 peers had a handshake within 3m0s, expected 1: the last was HOUR ago"},
		"none":           {says: port + peer(1, never) + "errno=0\n\n", c: WireGuard{Peers: 1}, err: "lo: 0 of 1 peers had a handshake within 3m0s, expected 1: there was none"},
		"other peer":     {says: three, c: WireGuard{Peers: 1, PeerKeys: []string{base64Of(keyOf(2))}}, err: "lo: 0 of 1 peers had a handshake within 3m0s, expected 1: the last was HOUR ago"},
		"unknown peer":   {says: three, c: WireGuard{Peers: 1, PeerKeys: []string{base64Of(keyOf(9))}}, err: "lo: 0 of 0 peers had a handshake within 3m0s, expected 1: there was none"},
		"without times":  {says: port + peer(3, ago(time.Minute)) + peer(1, "") + "errno=0\n\n", c: WireGuard{Peers: 1, PeerKeys: []string{base64Of(keyOf(1))}}, err: "lo: 0 of 1 peers had a handshake within 3m0s, expected 1: there was none"},
		"its error":      {says: "errno=-5\n\n", err: `lo: reading what the program says: line 1, errno: "-5", expected 0`},
		"cut off":        {says: port, err: "lo: reading what the program says: closed by the other side"},
		"no answer":      {says: "", err: "lo: reading what the program says: closed by the other side"},
		"garbage":        {says: "secret\n", err: "lo: reading what the program says: line 1 is no key with a value"},
		"bad port":       {says: "listen_port=65536\n", err: `lo: reading what the program says: line 1, listen_port: strconv.ParseUint: parsing "65536": value out of range`},
		"bad time":       {says: "public_key=" + hexOf(1) + "\nlast_handshake_time_sec=x\n", err: `lo: reading what the program says: line 2, last_handshake_time_sec: strconv.ParseInt: parsing "x": invalid syntax`},
		"bad key":        {says: "public_key=" + hexOf(1)[2:] + "\n", err: "lo: reading what the program says: line 1, public_key: no key, or one too many"},
		"line too long":  {says: strings.Repeat("a", 1<<17), err: "lo: reading what the program says: bufio.Scanner: token too long"},
		"says nothing":   {says: "hang", err: "lo: reading what the program says: timed out"},
		"stops midway":   {says: "hang" + port, err: "lo: reading what the program says: timed out"},
		"no interface":   {c: WireGuard{Interface: "kcnone0"}, err: "kcnone0: no such interface"},
		"no such socket": {c: WireGuard{Socket: "/nonexistent"}, err: "lo: it is no interface of WireGuard: it is of type device, and no program has a socket for it: dial unix /nonexistent: connect: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.c
			if c.Interface == "" {
				c.Interface = "lo"
			}
			if c.Within == 0 {
				c.Within = 3 * time.Minute
			}
			if c.Socket == "" {
				c.Socket = wgProgram(t, func(conn net.Conn) {
					if _, err := io.ReadFull(conn, make([]byte, len("get=1\n\n"))); err != nil {
						return
					}
					text, hangs := strings.CutPrefix(tt.says, "hang")
					io.WriteString(conn, text)
					if !hangs {
						conn.Close()
					}
				})
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			err := c.Check(ctx)
			if err != nil && health.IsCertain(err) != (name == "no interface") {
				t.Errorf("certain: %t", health.IsCertain(err))
			}
			if text := drivertest.ErrText(err); hour.ReplaceAllString(text, "HOUR") != tt.err {
				t.Errorf("error\n got: %s\nwant: %s", text, tt.err)
			}
		})
	}
	t.Run("program gone", func(t *testing.T) {
		socket := filepath.Join(drivertest.SocketDir(t), "wg.sock")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		err = (&WireGuard{Interface: "lo", Socket: socket}).Check(within(t))
		sameError(t, err, "lo: dial unix ADDR: connect: connection refused", socket)
		if !health.IsCertain(err) {
			t.Error("it is not certain")
		}
	})
}

func TestWireGuardValidate(t *testing.T) {
	key := base64Of(keyOf(1))
	for name, tt := range map[string]struct {
		c   WireGuard
		err string
	}{
		"good":       {c: WireGuard{Interface: "wg0", Peers: 1, PeerKeys: []string{key}}},
		"no name":    {err: `interface: "" is no name of an interface`},
		"long name":  {c: WireGuard{Interface: "abcdefghijklmnop"}, err: `interface: "abcdefghijklmnop" is no name of an interface`},
		"a path":     {c: WireGuard{Interface: "../a"}, err: `interface: "../a" is no name of an interface`},
		"keys alone": {c: WireGuard{Interface: "a", PeerKeys: []string{key}}, err: "peer_keys: only with peers"},
		"more peers": {c: WireGuard{Interface: "a", Peers: 2, PeerKeys: []string{key}}, err: "peers: 2 peers can't be had of the 1 of peer_keys"},
		"no key":     {c: WireGuard{Interface: "a", Peers: 1, PeerKeys: []string{key, "ab=="}}, err: `peer_keys[1]: "ab==" is no public key, which is 44 characters of base64`},
		"twice":      {c: WireGuard{Interface: "a", Peers: 2, PeerKeys: []string{key, key}}, err: `peer_keys[1]: "` + key + `" is there twice`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.c.Validate(), tt.err, "") })
	}
}

// netlinkAttr is an attribute of a netlink message.
func netlinkAttr(kind uint16, parts ...[]byte) []byte {
	value := slices.Concat(parts...)
	out := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	out = append(binary.NativeEndian.AppendUint16(out, kind), value...)
	return append(out, make([]byte, -len(out)&3)...)
}

// kernelPeer is a peer in a message of the kernel, as linux/wireguard.h has it.
func kernelPeer(b byte, handshake time.Time) []byte {
	key := keyOf(b)
	at := binary.NativeEndian.AppendUint64(nil, uint64(handshake.Unix()))
	at = binary.NativeEndian.AppendUint64(at, uint64(handshake.Nanosecond()))
	return netlinkAttr(0x8000, netlinkAttr(1, key[:]), netlinkAttr(2, make([]byte, 32)), netlinkAttr(6, at), netlinkAttr(5, []byte{25, 0}),
		netlinkAttr(0x8000|9, netlinkAttr(0x8000, netlinkAttr(1, []byte{2, 0}))))
}

// kernelMessages are the answer for a device whose second peer takes two messages.
func kernelMessages() [][]byte {
	key := keyOf(2)
	return [][]byte{
		slices.Concat([]byte{0, 1, 0, 0}, netlinkAttr(6, binary.NativeEndian.AppendUint16(nil, 51820)), netlinkAttr(2, []byte("wg0\x00")), netlinkAttr(3, make([]byte, 32)),
			netlinkAttr(0x8000|8, kernelPeer(1, time.Unix(0, 0)), kernelPeer(2, time.Unix(1700000000, 7)))),
		slices.Concat([]byte{0, 1, 0, 0}, netlinkAttr(2, []byte("wg0\x00")),
			netlinkAttr(0x8000|8, netlinkAttr(0x8000, netlinkAttr(1, key[:]), netlinkAttr(0x8000|9)), kernelPeer(3, time.Unix(1700000001, 0)))),
	}
}

func TestWireGuardMessages(t *testing.T) {
	var d wgDevice
	for _, m := range kernelMessages() {
		if err := d.add(m); err != nil {
			t.Fatal(err)
		}
	}
	want := []wgPeer{{key: keyOf(1)}, {keyOf(2), time.Unix(1700000000, 7)}, {keyOf(3), time.Unix(1700000001, 0)}}
	if d.port != 51820 || !slices.Equal(d.peers, want) {
		t.Errorf("got %+v", d)
	}
	sameError(t, d.add(nil), "a message is too short", "")
	sameError(t, d.add(append(make([]byte, 4), netlinkAttr(8, []byte{9, 0, 0, 0})...)), "an attribute says that it has 9 bytes, of 4", "")
	sameError(t, d.add([]byte{0, 0, 0, 0, 3, 0, 0, 0}), "an attribute says that it has 3 bytes, of 4", "")
}

func FuzzWireGuard(f *testing.F) {
	for _, m := range kernelMessages() {
		f.Add(m)
	}
	f.Add([]byte("listen_port=5\npublic_key=" + hexOf(1) + "\nlast_handshake_time_sec=5\nlast_handshake_time_nsec=6\nerrno=0\n\n"))
	f.Fuzz(func(t *testing.T, m []byte) {
		var d wgDevice
		if d.add(m) == nil && len(d.peers) > len(m)/24 {
			t.Errorf("%d peers in %d bytes", len(d.peers), len(m))
		}
		if u, err := readUserDevice(strings.NewReader(string(m))); err == nil && len(u.peers) > len(m)/64 {
			t.Errorf("%d peers in %d bytes", len(u.peers), len(m))
		}
	})
}
