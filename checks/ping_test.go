package checks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

// pingSpace is a network namespace in which 127.0.0.1 and ::1 answer, 192.0.2.2 and its
// addresses of IPv6 are those of a neighbor that does not, and only raw sockets may ask.
const pingSpace = `ip link set lo up
ip link add out type veth peer name other
ip link set out up
ip link set other up
ip addr add 192.0.2.1/24 dev out
ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out
ip addr add 2001:db8::1/64 dev out nodad
ip neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev out
echo 1 0 >/proc/sys/net/ipv4/ping_group_range
`

// allowed lets root have the sockets of the kernel for echo requests.
const allowed = "echo 0 0 >/proc/sys/net/ipv4/ping_group_range\n"

func TestPing(t *testing.T) {
	noLeaks(t)
	one := Ping{Count: 1, MinAnswers: 1, Size: 56}
	three := Ping{Count: 3, MinAnswers: 2, Size: 8}
	most := Ping{Count: 10, MinAnswers: 10, Size: 8972}
	for name, tt := range map[string]struct {
		address string
		ping    Ping
		err     string
	}{
		"IPv4":         {"127.0.0.1", one, ""},
		"IPv6":         {"::1", one, ""},
		"mapped":       {"::ffff:127.0.0.1", one, ""},
		"name":         {"localhost", one, ""},
		"zone":         {"::1%lo", one, ""},
		"three":        {"127.0.0.1", three, ""},
		"most":         {"127.0.0.1", most, ""},
		"most of IPv6": {"::1", most, ""},
		"silent":       {"192.0.2.2", three, "ping ADDR: 0 of 3 requests answered, 2 wanted: timed out"},
		"silent IPv6":  {"2001:db8::2", three, "ping ADDR: 0 of 3 requests answered, 2 wanted: timed out"},
		"no route":     {"198.51.100.1", one, "ping ADDR: connect: network is unreachable"},
		"no such zone": {"fe80::1%nope", one, "ping ADDR: route ip+net: no such network interface"},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.ping
			c.Address = tt.address
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			for _, leave := range []string{"", allowed} {
				inSpace(t, pingSpace+leave, func() {
					ctx := within(t)
					if strings.HasSuffix(tt.err, "timed out") {
						ctx = shortly(t)
					}
					sameError(t, c.Check(ctx), tt.err, tt.address)
				})
			}
		})
	}
}

// dropCapabilities takes all capabilities from the thread, which has to be one of inSpace.
func dropCapabilities(t *testing.T) {
	t.Helper()
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		t.Error(err)
	}
}

// A host without a sysctl that allows it, and without the capability, can't say anything
// of the service. With the sysctl the capability is not needed.
func TestPingNotAllowed(t *testing.T) {
	c := &Ping{Address: "127.0.0.1", Count: 1, MinAnswers: 1, Size: 8}
	inSpace(t, pingSpace, func() {
		dropCapabilities(t)
		err := c.Check(within(t))
		sameError(t, err, "ping 127.0.0.1: keepcast may not send ICMP: its group is not within the sysctl net.ipv4.ping_group_range, and it has no CAP_NET_RAW", "")
		if !health.IsVoid(err) {
			t.Error("not void")
		}
	})
	inSpace(t, pingSpace+allowed, func() {
		dropCapabilities(t)
		if err := c.Check(within(t)); err != nil {
			t.Error(err)
		}
	})
}

// The requests go by the VRF of the service, and no further than what it names.
func TestPingDevice(t *testing.T) {
	c := &Ping{Address: "127.0.0.1", Count: 1, MinAnswers: 1, Size: 8}
	for name, tt := range map[string]struct {
		device func() (string, error)
		err    string
	}{
		"none":    {func() (string, error) { return "", nil }, ""},
		"bound":   {func() (string, error) { return "lo", nil }, ""},
		"gone":    {func() (string, error) { return "gone", nil }, "ping 127.0.0.1: binding to gone, the VRF of the service's interface: no such device"},
		"unknown": {func() (string, error) { return "", errors.New("no VRF") }, "ping 127.0.0.1: no VRF"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, leave := range []string{"", allowed} {
				inSpace(t, pingSpace+leave, func() {
					err := c.Check(WithDevice(within(t), tt.device))
					sameError(t, err, tt.err, "")
					if tt.err != "" && !health.IsVoid(err) {
						t.Error("not void")
					}
				})
			}
		})
	}
	inSpace(t, pingSpace, func() { // the answers don't come by that device
		c := &Ping{Address: "192.0.2.1", Count: 1, MinAnswers: 1, Size: 8}
		err := c.Check(WithDevice(shortly(t), func() (string, error) { return "other", nil }))
		sameError(t, err, "ping 192.0.2.1: 0 of 1 requests answered, 1 wanted: timed out", "")
	})
}

func TestPingSees(t *testing.T) {
	inSpace(t, pingSpace, func() {
		var s Sight
		if err := (&Ping{Address: "localhost", Count: 3, MinAnswers: 2, Size: 8}).Check(WithSight(within(t), &s)); err != nil {
			t.Error(err)
		}
		seen, awaits := s.Seen()
		var words []string
		for _, one := range seen {
			words = append(words, one.What)
		}
		if got := strings.Join(words, " "); got != "resolved connected answer answer" || awaits != "" {
			t.Errorf("saw %s, awaits %q", got, awaits)
		}
	})
}

func TestPingValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		ping Ping
		err  string
	}{
		"good":              {Ping{Address: "192.0.2.1", Count: 1, MinAnswers: 1}, ""},
		"name":              {Ping{Address: "router.example.com", Count: 3, MinAnswers: 3}, ""},
		"zone":              {Ping{Address: "fe80::1%eth0", Count: 3, MinAnswers: 3}, ""},
		"none":              {Ping{}, `address: "" is no address and no name of a host`},
		"port":              {Ping{Address: "192.0.2.1:80"}, `address: "192.0.2.1:80" is no address and no name of a host`},
		"prefix":            {Ping{Address: "192.0.2.0/24"}, `address: "192.0.2.0/24" is no address and no name of a host`},
		"brackets":          {Ping{Address: "[::1]"}, `address: "[::1]" is no address and no name of a host`},
		"too many":          {Ping{Address: "192.0.2.1", Count: 2, MinAnswers: 3}, "min_answers: 3 is more than count, 2"},
		"too many, by name": {Ping{Address: "a", Count: 2, MinAnswers: 3}, "min_answers: 3 is more than count, 2"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.ping.Validate(), tt.err, "") })
	}
}

// TestEchoReply reads what others sent, too: a raw socket receives all of ICMP.
func TestEchoReply(t *testing.T) {
	data := []byte("random data")
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	message := func(kind, code byte, data string) []byte {
		return append([]byte{kind, code, 0xde, 0xad, 0, 1, 0, 7}, data...)
	}
	for name, tt := range map[string]struct {
		to      netip.Addr
		message []byte
		ok      bool
	}{
		"IPv4":           {four, message(0, 0, "random data"), true},
		"IPv6":           {six, message(129, 0, "random data"), true},
		"a request":      {four, message(8, 0, "random data"), false},
		"IPv6 request":   {six, message(128, 0, "random data"), false},
		"unreachable":    {four, message(3, 1, "random data"), false},
		"with a code":    {four, message(0, 1, "random data"), false},
		"other data":     {four, message(0, 0, "random dato"), false},
		"data cut off":   {four, message(0, 0, "random dat"), false},
		"too much":       {four, message(0, 0, "random data!"), false},
		"header cut off": {four, message(0, 0, "")[:7], false},
		"nothing":        {four, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := echoReply(tt.to, tt.message, data)
			if ok != tt.ok || ok && n != 7 {
				t.Errorf("got %d, %t", n, ok)
			}
		})
	}
}

// A sum over a message with its checksum is zero, also where the length is odd.
func TestEchoRequest(t *testing.T) {
	for _, size := range []int{8, 9, 8972} {
		message := echoRequest(netip.MustParseAddr("192.0.2.1"), 0xabcd, bytes.Repeat([]byte{0xff}, size))
		if got := checksum(message); got != 0 {
			t.Errorf("%d bytes: %#x", size, got)
		}
		if message[0] != 8 || message[1] != 0 || binary.BigEndian.Uint16(message[6:]) != 0xabcd || len(message) != 8+size {
			t.Errorf("got % x", message[:8])
		}
	}
}

func FuzzEchoReply(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 'd'}, []byte("d"))
	f.Add([]byte{129, 0}, []byte("d"))
	f.Fuzz(func(t *testing.T, message, data []byte) {
		for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
			if _, ok := echoReply(netip.MustParseAddr(to), message, data); ok && !bytes.HasSuffix(message, data) {
				t.Errorf("% x is no echo of % x", message, data)
			}
		}
	})
}
