package checks

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestUDP(t *testing.T) {
	const quiet = 10 * time.Millisecond
	match := func(pattern string) UDP { return UDP{Send: "ping", Expect: regexp.MustCompile(pattern)} }
	say := func(answers ...string) func(string) []string {
		return func(string) []string { return answers }
	}
	for name, tt := range map[string]struct {
		answer func(string) []string // nil: nothing listens
		udp    UDP
		err    string
	}{
		"echo":         {func(asked string) []string { return []string{asked} }, match("^ping$"), ""},
		"two pieces":   {say("a", "b"), match("^ab$"), ""},
		"empty first":  {say("", "b"), match("^b$"), ""},
		"longest":      {say(strings.Repeat("a", 65507)), match("a$"), ""},
		"other answer": {say("pang"), match("pong"), `ADDR: waiting for 'pong': timed out, got "pang"`},
		"silent":       {say(), match("pong"), `ADDR: waiting for 'pong': timed out, got ""`},
		"garbage":      {say("\x00\xff"), match("pong"), "ADDR: waiting for 'pong': timed out, got \"\\x00\uFFFD\""},
		"floods": {
			say(strings.Repeat("a", 40000), strings.Repeat("a", 40000)), match("pong"),
			`ADDR: waiting for 'pong': no match in the first 65536 bytes, got "` + strings.Repeat("a", 120) + `"...`,
		},
		"refused":              {nil, match("pong"), `ADDR: waiting for 'pong': refused by ICMP: nothing listens on the port, got ""`},
		"no refusal":           {say(), UDP{Send: "ping", Quiet: quiet}, ""},
		"answer for a refusal": {say("what?"), UDP{Send: "ping", Quiet: time.Hour}, ""},
		"refused, no expect":   {nil, UDP{Send: "ping", Quiet: time.Hour}, `ADDR: after sending: refused by ICMP: nothing listens on the port`},
		"quiet too long":       {say(), UDP{Send: "ping", Quiet: time.Hour}, `ADDR: after sending: timed out`},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			answer := tt.answer
			if answer == nil {
				answer = say()
			}
			tt.udp.Address = datagrams(t, answer)
			if tt.answer == nil {
				tt.udp.Address = closedPort(t)
			}
			if err := tt.udp.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = briefly(t)
			}
			sameError(t, tt.udp.Check(ctx), tt.err, tt.udp.Address)
		})
	}
}

// An answer of somebody else is none.
func TestUDPFromElsewhere(t *testing.T) {
	other, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	asked := make(chan net.Addr, 1)
	service, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	go func() {
		buf := make([]byte, 10)
		if _, from, err := service.ReadFrom(buf); err == nil {
			other.WriteTo([]byte("pong"), from)
			asked <- from
		}
	}()
	c := UDP{Address: service.LocalAddr().String(), Send: "ping", Expect: regexp.MustCompile("pong")}
	sameError(t, c.Check(briefly(t)), `ADDR: waiting for 'pong': timed out, got ""`, c.Address)
	<-asked
}

func TestUDPSees(t *testing.T) {
	at := datagrams(t, func(asked string) []string { return map[string][]string{"ping": {"pong"}}[asked] })
	for name, tt := range map[string]struct {
		udp  UDP
		want string
	}{
		"expected": {UDP{Send: "ping", Expect: regexp.MustCompile("o")}, `answer "pong"`},
		"answer":   {UDP{Send: "ping", Quiet: time.Hour}, `answer "pong"`},
		"quiet":    {UDP{Send: "pang", Quiet: time.Millisecond}, `quiet no refusal in 1ms`},
	} {
		t.Run(name, func(t *testing.T) {
			tt.udp.Address = at
			var s Sight
			if err := tt.udp.Check(WithSight(within(t), &s)); err != nil {
				t.Fatal(err)
			}
			seen, awaits := s.Seen()
			last := seen[len(seen)-1]
			if got := last.What + " " + last.Text; got != tt.want || awaits != "" {
				t.Errorf("saw %s, awaits %q", got, awaits)
			}
		})
	}
}

func TestUDPValidateWithin(t *testing.T) {
	quiet := UDP{Quiet: time.Second}
	sameError(t, quiet.ValidateWithin(time.Second), "quiet: 1s is not less than timeout, 1s, so that every run would time out", "")
	sameError(t, quiet.ValidateWithin(time.Second+1), "", "")
	expects := UDP{Quiet: time.Second, Expect: regexp.MustCompile("a")}
	sameError(t, expects.ValidateWithin(time.Millisecond), "", "")
}

func TestUDPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		udp UDP
		err string
	}{
		"good":       {UDP{Address: "[::1]:514", Send: "a"}, ""},
		"no port":    {UDP{Address: "127.0.0.1", Send: "a"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:514 or [::1]:514`},
		"port 0":     {UDP{Address: "127.0.0.1:0", Send: "a"}, `address: "0" is no port from 1 to 65535`},
		"no address": {UDP{Address: "192.0.2.530:514", Send: "a"}, `address: "192.0.2.530" is no address`},
		"too long":   {UDP{Address: "127.0.0.1:514", Send: Escaped(strings.Repeat("a", 65508))}, "send: 65508 bytes are more than a datagram holds, 65507"},
		"longest":    {UDP{Address: "127.0.0.1:514", Send: Escaped(strings.Repeat("a", 65507))}, ""},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.udp.Validate(), tt.err, "") })
	}
}
