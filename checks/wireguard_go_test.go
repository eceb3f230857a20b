package checks

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// wgCommand has the program of an interface do something.
func wgCommand(t *testing.T, name, text string) {
	conn, err := net.Dial("unix", "/var/run/wireguard/"+name+".sock")
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	io.WriteString(conn, text+"\n")
	answer := make([]byte, 9)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "errno=0\n\n" {
		t.Errorf("%s says %q: %v", name, answer, err)
	}
}

// startWireGuard runs the program of an interface.
func startWireGuard(t *testing.T, name string) *exec.Cmd {
	cmd := exec.Command("wireguard-go", "-f", name)
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return cmd
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.Remove("/var/run/wireguard/" + name + ".sock")
	})
	if !drivertest.WaitFor(func() bool { _, err := os.Stat("/var/run/wireguard/" + name + ".sock"); return err == nil }) {
		t.Errorf("%s does not start", name)
	}
	return cmd
}

// TestWireGuardGo looks at an interface of a real program, which a peer talks to.
func TestWireGuardGo(t *testing.T) {
	drivertest.Program(t, "wireguard-go")
	server, client := fmt.Sprintf("kcs%d", os.Getpid()), fmt.Sprintf("kcc%d", os.Getpid())
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		keys[i], _ = ecdh.X25519().GenerateKey(rand.Reader)
	}
	inSpace(t, "ip link set lo up", func() {
		run := func(args ...string) {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
			}
		}
		daemon := startWireGuard(t, server)
		startWireGuard(t, client)
		c := &WireGuard{Interface: server, Within: 3 * time.Minute}
		err := c.Check(within(t))
		sameError(t, err, server+": the interface is down", "")
		if !health.IsCertain(err) {
			t.Error("it is not certain")
		}
		run("link", "set", server, "up")
		run("link", "set", client, "up")
		wgCommand(t, server, fmt.Sprintf("set=1\nprivate_key=%x\nlisten_port=2001\npublic_key=%x\npublic_key=%s\n", keys[0].Bytes(), keys[1].PublicKey().Bytes(), hexOf(7)))
		sameError(t, c.Check(within(t)), "", "")
		c.Peers = 1
		sameError(t, c.Check(within(t)), server+": 0 of 2 peers had a handshake within 3m0s, expected 1: there was none", "")
		wgCommand(t, client, fmt.Sprintf("set=1\nprivate_key=%x\npublic_key=%x\nendpoint=127.0.0.1:2001\npersistent_keepalive_interval=1\n", keys[1].Bytes(), keys[0].PublicKey().Bytes()))
		c.ListenPort, c.PeerKeys = 2001, []string{base64.StdEncoding.EncodeToString(keys[1].PublicKey().Bytes())}
		if !drivertest.WaitFor(func() bool { return c.Check(within(t)) == nil }) {
			t.Errorf("no handshake: %v", c.Check(within(t)))
		}
		c.ListenPort = 2002
		sameError(t, c.Check(within(t)), server+": it listens on port 2001, expected 2002", "")
		c.PeerKeys, c.ListenPort, c.Peers = nil, 0, 2
		if err := c.Check(within(t)); err == nil || !strings.HasPrefix(err.Error(), server+": 1 of 2 peers had a handshake within 3m0s, expected 2: the last was ") {
			t.Errorf("got %v", err)
		}
		c.Peers = 0
		suspend(t, daemon)
		sameError(t, c.Check(shortly(t)), server+": reading what the program says: timed out", "")
		daemon.Process.Signal(syscall.SIGCONT)
		told := 0
		ctx, end := context.WithCancel(within(t))
		defer end()
		err = c.Watch(ctx, func() {
			switch told++; told {
			case 1:
				run("link", "set", server, "down")
			default:
				end()
			}
		})
		if err != nil || told < 2 {
			t.Errorf("the watch told %d times: %v", told, err)
		}
		daemon.Process.Kill()
		daemon.Wait()
		if !drivertest.WaitFor(func() bool { return drivertest.ErrText(c.Check(within(t))) == server+": no such interface" }) {
			t.Errorf("it ended: %v", c.Check(within(t)))
		}
	})
}

// TestWireGuardKernel looks at an interface of the kernel, where it has such.
func TestWireGuardKernel(t *testing.T) {
	lacking := false
	inSpace(t, "ip link add wg0 type wireguard || true", func() {
		if _, err := netlink.LinkByName("wg0"); err != nil {
			lacking = true
			return
		}
		c := &WireGuard{Interface: "wg0", Within: time.Minute}
		sameError(t, c.Check(within(t)), "wg0: the interface is down", "")
		if out, err := exec.Command("ip", "link", "set", "wg0", "up").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		sameError(t, c.Check(within(t)), "", "")
		c.Peers = 1
		sameError(t, c.Check(within(t)), "wg0: 0 of 0 peers had a handshake within 1m0s, expected 1: there was none", "")
	})
	if lacking {
		t.Skip("this kernel has no WireGuard")
	}
}
