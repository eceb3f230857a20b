package checks

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// transfers is a server of TFTP on loopback. It answers each request from another port, from,
// and sends to ended what it gets there.
func transfers(t *testing.T, from, answer string) (address string, ended chan string) {
	t.Helper()
	ended = make(chan string, 10)
	conn := receive(t, from, func(_ net.PacketConn, said string, _ net.Addr) { ended <- said })
	asked := receive(t, "127.0.0.1:0", func(_ net.PacketConn, asked string, client net.Addr) {
		if asked == "\x00\x01a/file\x00octet\x00" {
			conn.WriteTo([]byte(answer), client)
		}
	})
	return asked.LocalAddr().String(), ended
}

func TestTFTP(t *testing.T) {
	const (
		ack    = "\x00\x04\x00\x01"
		enough = "\x00\x05\x00\x00keepcast has seen enough\x00"
	)
	block := "\x00\x03\x00\x01" + strings.Repeat("a", 512)
	for name, tt := range map[string]struct {
		from, answer string
		tftp         TFTP
		ended        string
		err          string
	}{
		"short":           {"127.0.0.1:0", "\x00\x03\x00\x01hello\n", TFTP{Content: regexp.MustCompile("^hello\n$")}, ack, ""},
		"empty":           {"127.0.0.1:0", "\x00\x03\x00\x01", TFTP{}, ack, ""},
		"long":            {"127.0.0.1:0", block, TFTP{MayBeMissing: true}, enough, ""},
		"almost long":     {"127.0.0.1:0", block[:515], TFTP{}, ack, ""},
		"other content":   {"127.0.0.1:0", "\x00\x03\x00\x01hello", TFTP{Content: regexp.MustCompile("^$")}, ack, `ADDR: a/file: no match for '^$' in the first 5 bytes: "hello"`},
		"missing":         {"127.0.0.1:0", "\x00\x05\x00\x01File not found\x00", TFTP{}, "", `ADDR: a/file: the server says error 1: "File not found"`},
		"may be missing":  {"127.0.0.1:0", "\x00\x05\x00\x01File not found\x00", TFTP{MayBeMissing: true}, "", ""},
		"may not be read": {"127.0.0.1:0", "\x00\x05\x00\x02no", TFTP{MayBeMissing: true}, "", `ADDR: a/file: the server says error 2: "no"`},
		"too long":        {"127.0.0.1:0", block + "a", TFTP{}, "", "ADDR: a/file: the answer has a block of 513 bytes, more than 512"},
		"block 2":         {"127.0.0.1:0", "\x00\x03\x00\x02hello", TFTP{}, "", "ADDR: a/file: the answer has block 2, expected block 1"},
		"options":         {"127.0.0.1:0", "\x00\x06a\x00b\x00", TFTP{}, "", `ADDR: a/file: the answer is of type 6, data has type 3: "\x00\x06a\x00b\x00"`},
		"garbage":         {"127.0.0.1:0", "?", TFTP{}, "", `ADDR: a/file: the answer is no packet of TFTP: "?"`},
		"nothing":         {"127.0.0.1:0", "", TFTP{}, "", `ADDR: a/file: the answer is no packet of TFTP: ""`},
		"somebody else":   {"127.0.0.2:0", block, TFTP{}, "", "ADDR: a/file: no answer: timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.tftp
			c.File = "a/file"
			address, ended := transfers(t, tt.from, tt.answer)
			c.Address = address
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			checkOf(t, &c, tt.err, c.Address)
			if tt.ended == "" {
				return
			}
			if got := <-ended; got != tt.ended {
				t.Errorf("it ends by %q", got)
			}
		})
	}
}

func TestTFTPSilent(t *testing.T) {
	noLeaks(t)
	c := &TFTP{File: "a", Address: datagrams(t, func(string) []string { return nil })}
	checkOf(t, c, "ADDR: a: no answer: timed out", c.Address)
	c.Address = closedPort(t)
	checkOf(t, c, "ADDR: a: asking udp ADDR: connection refused", c.Address)
	at6 := "[::1]:" + portOf(c.Address)
	checkOf(t, &TFTP{File: "a", Address: at6}, "ADDR: a: asking udp ADDR: connection refused", at6)
}

// The socket is followed though it is not connected, and a refusal without doubt is known.
func TestTFTPStops(t *testing.T) {
	ctx, woken := followed(t)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := &TFTP{Address: server.LocalAddr().String(), File: "a"}
	go func() {
		if _, client, err := server.ReadFrom(make([]byte, 512)); err == nil {
			server.WriteTo([]byte("\x00\x03\x00\x01"), client)
		}
	}()
	sameError(t, c.Check(ctx), "", "")
	follower(ctx).Learn()
	server.Close()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
	if err := c.Check(ctx); !health.IsCertain(err) {
		t.Errorf("not certain: %v", err)
	}
}

func TestTFTPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		tftp TFTP
		err  string
	}{
		"good":     {TFTP{Address: "[::1]:69", File: strings.Repeat("a", 500)}, ""},
		"no port":  {TFTP{Address: "127.0.0.1", File: "a"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:69 or [::1]:69`},
		"no name":  {TFTP{Address: "127.0.0.1:69"}, `file: "" is no name of a file`},
		"NUL":      {TFTP{Address: "127.0.0.1:69", File: "a\x00b"}, `file: "a\x00b" is no name of a file`},
		"too long": {TFTP{Address: "127.0.0.1:69", File: strings.Repeat("a", 501)}, "file: 501 bytes are more than 500"},
		"content": {
			TFTP{Address: "127.0.0.1:69", File: "a", Content: regexp.MustCompile("a"), MayBeMissing: true},
			"content: not with may_be_missing: a file that is missing has none",
		},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.tftp.Validate(), tt.err, "") })
	}
}

// FuzzTFTP looks for a packet that is taken for a block and is none.
func FuzzTFTP(f *testing.F) {
	for _, packet := range []string{"", "\x00\x03\x00\x01a", "\x00\x05\x00\x01a\x00", "\x00\x05\x00\x00", "\x00\x03\x00", "\x01\x03\x00\x01"} {
		f.Add([]byte(packet))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		p, err := readTFTP(packet)
		if err == nil && (&TFTP{}).judge(p) == nil && (string(packet[:4]) != "\x00\x03\x00\x01" || len(packet) > 516) {
			t.Errorf("%x is a block of %d bytes", packet, len(p.data))
		}
	})
}

// TestTFTPReal asks in.tftpd of tftpd-hpa.
func TestTFTPReal(t *testing.T) {
	drivertest.NeedsRoot(t, "for in.tftpd")
	noLeaks(t)
	program := drivertest.Program(t, "in.tftpd")
	dir := t.TempDir()
	for name, text := range map[string]string{"short": "hello\n", "long": strings.Repeat("0123456789\n", 100), "empty": "", "exact": strings.Repeat("a", 512), "secret": "a"} {
		path := filepath.Join(dir, name)
		drivertest.WriteFile(t, path, text)
		if err := os.Chmod(path, map[bool]os.FileMode{true: 0o600, false: 0o644}[name == "secret"]); err != nil {
			t.Fatal(err)
		}
	}
	at := closedPort(t)
	daemon := startDaemon(t, program, "-L", "--address", at, "--secure", dir)
	fitAtLast(t, &TFTP{Address: at, File: "short"})
	for name, tt := range map[string]struct {
		tftp TFTP
		err  string
	}{
		"short":          {TFTP{File: "short", Content: regexp.MustCompile("^hello\n$")}, ""},
		"long":           {TFTP{File: "long", Content: regexp.MustCompile("^0123")}, ""},
		"empty":          {TFTP{File: "empty"}, ""},
		"exact":          {TFTP{File: "exact"}, ""},
		"other content":  {TFTP{File: "short", Content: regexp.MustCompile("^a")}, `ADDR: short: no match for '^a' in the first 6 bytes: "hello"`},
		"missing":        {TFTP{File: "none"}, `ADDR: none: the server says error 1: "File not found"`},
		"may be missing": {TFTP{File: "none", MayBeMissing: true}, ""},
		"secret":         {TFTP{File: "secret", MayBeMissing: true}, `ADDR: secret: the server says error 0: "Permission denied"`},
	} {
		t.Run(name, func(t *testing.T) {
			tt.tftp.Address = at
			sameError(t, tt.tftp.Check(within(t)), tt.err, at)
		})
	}
	s := new(Sight)
	sameError(t, (&TFTP{Address: at, File: "short"}).Check(WithSight(within(t), s)), "", at)
	if seen, _ := s.Seen(); len(seen) != 1 || !regexp.MustCompile(`^6 bytes from port \d+: "hello"$`).MatchString(seen[0].Text) {
		t.Errorf("saw %v", seen)
	}
	// A process of the server for each transfer: all of them are over.
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", daemon.Pid)
	drivertest.Eventually(t, "no transfer is left", func() bool {
		left, err := os.ReadFile(children)
		return err == nil && len(left) == 0
	})
	short := &TFTP{Address: at, File: "short"}
	hangs(t, "in.tftpd", short.Check, "ADDR: short: no answer: timed out", at)
	dies(t, "in.tftpd", short.Check)
}
