package checks

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

// wgDevice is what matters of a WireGuard interface. Its private key comes with the rest, and
// is not kept.
type wgDevice struct {
	port  uint16 // that it listens on; 0: none
	peers []wgPeer
}

// wgPeer is a peer of a device.
type wgPeer struct {
	key       wgKey
	handshake time.Time // the last one; zero: there was none
}

// Numbers of linux/wireguard.h.
const (
	wgGetDevice = 0
	wgVersion   = 1

	wgName, wgListenPort, wgPeers = 2, 6, 8 // WGDEVICE_A_*

	wgPeerKey, wgPeerHandshake = 1, 6 // WGPEER_A_*
)

// kernelDevice asks the kernel for an interface of its own. That takes CAP_NET_ADMIN.
func kernelDevice(name string) (wgDevice, error) {
	family, err := netlink.GenlFamilyGet("wireguard")
	if err != nil {
		return wgDevice{}, health.Void(fmt.Errorf("asking the kernel for WireGuard: %w", err))
	}
	q := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
	q.AddData(&nl.Genlmsg{Command: wgGetDevice, Version: wgVersion})
	q.AddData(nl.NewRtAttr(wgName, nl.ZeroTerminated(name)))
	messages, err := q.Execute(unix.NETLINK_GENERIC, 0)
	if errors.Is(err, unix.ENODEV) {
		return wgDevice{}, errors.New("it was removed a moment ago") // the next run says more
	}
	if err != nil {
		return wgDevice{}, health.Void(fmt.Errorf("asking the kernel for the peers: %w", err))
	}
	var d wgDevice
	for _, m := range messages {
		if err := d.add(m); err != nil {
			return wgDevice{}, fmt.Errorf("reading what the kernel says of WireGuard: %w", err)
		}
	}
	return d, nil
}

// add reads one message of the kernel. A device with many peers takes several.
func (d *wgDevice) add(message []byte) error {
	if len(message) < nl.SizeofGenlmsg {
		return errors.New("a message is too short")
	}
	all, err := attributesIn(message[nl.SizeofGenlmsg:])
	if err != nil {
		return err
	}
	for _, a := range all {
		switch {
		case a.Attr.Type == wgListenPort && len(a.Value) == 2:
			d.port = binary.NativeEndian.Uint16(a.Value)
		case a.Attr.Type == wgPeers:
			if err := d.addPeers(a.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// addPeers reads a list of peers.
func (d *wgDevice) addPeers(list []byte) error {
	peers, err := attributesIn(list)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if err := d.addPeer(p.Value); err != nil {
			return err
		}
	}
	return nil
}

// addPeer reads one peer. Of one that has more allowed addresses than a message can hold,
// the next message has the key and those alone.
func (d *wgDevice) addPeer(peer []byte) error {
	all, err := attributesIn(peer)
	if err != nil {
		return err
	}
	var p wgPeer
	begins := false
	for _, a := range all {
		switch {
		case a.Attr.Type == wgPeerKey && len(a.Value) == len(p.key):
			p.key = wgKey(a.Value)
		case a.Attr.Type == wgPeerHandshake && len(a.Value) == 16: // a struct __kernel_timespec
			begins = true
			p.handshake = handshakeTime(int64(binary.NativeEndian.Uint64(a.Value)), int64(binary.NativeEndian.Uint64(a.Value[8:])))
		}
	}
	if begins {
		d.peers = append(d.peers, p)
	}
	return nil
}

// handshakeTime returns the time of a handshake; the zero time if there was none.
func handshakeTime(seconds, nanoseconds int64) time.Time {
	if seconds == 0 && nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, nanoseconds)
}

// Limits of what is read of a program: of 100,000 peers with ten allowed addresses each it is
// some 70 MB. Nothing of it is kept but keys and times.
const (
	maxUserDevice = 256 << 20
	maxUserPeers  = 1 << 20
)

// userDevice asks the program that an interface is of, by the protocol that all such programs
// have (https://www.wireguard.com/xplatform).
func userDevice(ctx context.Context, socket string) (wgDevice, error) {
	conn, err := connect(ctx, "unix", socket, nil)
	if errors.Is(err, os.ErrPermission) {
		return wgDevice{}, health.Void(fmt.Errorf("keepcast may not ask the program: %w", err))
	}
	if err != nil {
		return wgDevice{}, err
	}
	defer closeWith(ctx, conn)()
	if _, err := io.WriteString(conn, "get=1\n\n"); err != nil {
		return wgDevice{}, fmt.Errorf("asking the program: %w", explain(ctx, err))
	}
	sight(ctx).waits("the answer of %s", socket)
	d, err := readUserDevice(conn)
	if err != nil {
		return wgDevice{}, fmt.Errorf("reading what the program says: %w", explain(ctx, err))
	}
	return d, nil
}

// readUserDevice reads lines of keys and values up to an empty one. Keys are among them, so
// that errors show no line.
func readUserDevice(r io.Reader) (wgDevice, error) {
	var d wgDevice
	var seconds, nanoseconds int64
	lines := bufio.NewScanner(io.LimitReader(r, maxUserDevice))
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			return d, nil
		}
		key, value, ok := strings.Cut(lines.Text(), "=")
		if !ok {
			return wgDevice{}, fmt.Errorf("line %d is no key with a value", n)
		}
		var err error
		switch key {
		case "errno":
			if value != "0" {
				err = fmt.Errorf("%s, expected 0", excerpt(lines.Bytes()[len("errno="):]))
			}
		case "listen_port":
			var port uint64
			port, err = strconv.ParseUint(value, 10, 16)
			d.port = uint16(port)
		case "public_key":
			seconds, nanoseconds = 0, 0
			err = d.begin(value)
		case "last_handshake_time_sec":
			seconds, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nanoseconds, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return wgDevice{}, fmt.Errorf("line %d, %s: %w", n, key, err)
		}
		if last := len(d.peers) - 1; last >= 0 {
			d.peers[last].handshake = handshakeTime(seconds, nanoseconds)
		}
	}
	if err := lines.Err(); err != nil {
		return wgDevice{}, err
	}
	return wgDevice{}, io.ErrUnexpectedEOF
}

// begin adds a peer, whose key is in hexadecimal digits.
func (d *wgDevice) begin(key string) error {
	raw, err := hex.DecodeString(key)
	if err != nil || len(raw) != len(wgKey{}) || len(d.peers) >= maxUserPeers {
		return errors.New("no key, or one too many")
	}
	d.peers = append(d.peers, wgPeer{key: wgKey(raw)})
	return nil
}
