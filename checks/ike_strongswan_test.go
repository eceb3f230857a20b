package checks

import (
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// strongSwan runs charon on its usual ports, and returns it. What loads the connections is
// called by the test.
func strongSwan(t *testing.T, dir string) (charon *exec.Cmd, swanctl func(...string) string) {
	conf := filepath.Join(dir, "strongswan.conf")
	uri := "unix://" + filepath.Join(dir, "vici")
	plugins := "random nonce aes sha1 sha2 hmac kdf gmp"
	drivertest.WriteFile(t, conf, `charon-systemd {
  load = `+plugins+` kernel-netlink socket-default vici
  cookie_threshold = 2
  plugins { vici { socket = `+uri+` } }
}
swanctl { load = `+plugins+` }
`)
	environ := append(os.Environ(), "STRONGSWAN_CONF="+conf)
	log := new(drivertest.Buffer)
	charon = exec.Command(drivertest.Program(t, "charon-systemd"))
	charon.Env, charon.Stdout, charon.Stderr = environ, log, log
	if err := charon.Start(); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log)
		}
	})
	return charon, func(args ...string) string {
		cmd := exec.CommandContext(within(t), "swanctl", append(args, "--uri", uri)...)
		cmd.Env = environ
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
}

// suspend stops a process of the test as a daemon that hangs, and waits until all of its
// threads have stopped.
func suspend(t *testing.T, cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Errorf("it does not stop: %v, %#x", err, status)
	}
}

// halfOpen has the gateway hold an SA that is never finished, as a real client would that
// loses its network.
func halfOpen(t *testing.T, address string) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	q := newInit()
	exchange := func(first byte, body ...[]byte) []byte {
		m := append(q.message()[:headerSize], slices.Concat(body...)...)
		m[16] = first
		binary.BigEndian.PutUint32(m[24:], uint32(len(m)))
		conn.Write(m)
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil || n < headerSize {
			t.Errorf("no answer: %v, %q", err, buf[:n])
			return make([]byte, headerSize)
		}
		return buf[:n]
	}
	key := append([]byte{0, 14, 0, 0}, make([]byte, 256)...)
	key[200] = 1
	rest := slices.Concat(payload(payloadKE, offer()), payload(payloadNonce, key), payload(0, q.secret[:32]))
	answer := exchange(payloadSA, rest)
	if a, err := parseInit(q.spi, answer); err == nil && a.cookie != nil { // the checks before may not be forgotten yet
		answer = exchange(payloadNotify, payload(payloadSA, slices.Concat([]byte{0, 0, 0x40, 0x06}, a.cookie)), rest)
	}
	if answer[16] != payloadSA {
		t.Errorf("no half-open SA: %q", answer)
	}
}

// TestStrongSwan asks a real gateway.
func TestStrongSwan(t *testing.T) {
	drivertest.Program(t, "charon-systemd")
	drivertest.Program(t, "swanctl")
	dir := drivertest.SocketDir(t)
	conf := filepath.Join(dir, "swanctl.conf")
	drivertest.WriteFile(t, conf, `connections { clients {
  version = 2
  proposals = aes256-sha256-modp2048
  local { auth = psk }
  remote { auth = psk }
} }
`)
	inSpace(t, "ip link set lo up", func() {
		charon, swanctl := strongSwan(t, dir)
		defer func() {
			charon.Process.Kill()
			charon.Wait()
		}()
		left := func(want string) {
			if !drivertest.WaitFor(func() bool { return strings.Contains(swanctl("--stats"), want) }) {
				t.Errorf("something is left: want %s in %s", want, swanctl("--stats"))
			}
		}
		usual, natT := &IKE{Address: "127.0.0.1", RequireProposal: true}, &IKE{Address: "[::1]:4500", RequireProposal: true}
		bare := *usual
		bare.RequireProposal = false
		if !drivertest.WaitFor(func() bool { return bare.Check(within(t)) == nil && strings.Contains(swanctl("--stats"), "half-open") }) {
			t.Errorf("charon does not start: %v", bare.Check(within(t)))
			return
		}
		sameError(t, usual.Check(within(t)), "127.0.0.1:500: answers NO_PROPOSAL_CHOSEN: none of its connections takes the ciphers that keepcast "+
			"offers, none is for keepcast's address, or none is loaded", "")
		if out := swanctl("--load-conns", "--file", conf); !strings.Contains(out, "loaded connection 'clients'") {
			t.Error(out)
		}
		seen := new(Sight)
		sameError(t, usual.Check(WithSight(within(t), seen)), "", "")
		all, _ := seen.Seen()
		if last := all[len(all)-1]; last.What != "answer" || last.Text != "a proposal is accepted, with MODP-2048" {
			t.Errorf("saw %v", all)
		}
		for range 20 { // a client may have 5 half-open SAs by default
			sameError(t, natT.Check(within(t)), "", "")
			sameError(t, usual.Check(within(t)), "", "")
		}
		left("IKE_SAs: 0 total, 0 half-open")
		halfOpen(t, "127.0.0.1:500")
		halfOpen(t, "127.0.0.1:500")
		seen = new(Sight)
		sameError(t, usual.Check(WithSight(within(t), seen)), "", "")
		if all, _ := seen.Seen(); len(all) != 3 || all[1].What != "cookie" {
			t.Errorf("saw %v", all)
		}
		left("IKE_SAs: 2 total, 2 half-open")
		suspend(t, charon)
		sameError(t, usual.Check(shortly(t)), "127.0.0.1:500: waiting for the answer to IKE_SA_INIT: timed out", "")
	})
}
