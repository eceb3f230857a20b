package checks

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"
)

func init() {
	register(Kind{
		Name: "ntp",
		Doc: "Asks an NTP server for the time (RFC 5905, without NTS) and looks at whether it may be trusted: one that is not synchronized, or that " +
			"refuses (a kiss-o'-death), fails. One request is sent. A server with a rate limit, such as `ratelimit` of chrony, " +
			"drops some if they come faster than it allows: `interval` and `fast_interval` have to keep to that.",
		Example: "address: 127.0.0.1\nmax_stratum: 4\nmax_root_distance: 100ms\n",
		New:     func() Checker { return new(NTP) },
		AtOnce:  stopsListening,
	})
}

// NTP is fit when a server answers with a time that may be trusted.
type NTP struct {
	Address         string         `config:"address" required:"true" doc:"Server to ask: an address or a host, with or without a port, which is 123."`
	MaxStratum      int            `config:"max_stratum" default:"15" min:"1" max:"15" doc:"How far at most the server may be from a reference clock: 1 has one itself. A server that lost its sources may fall back to a high stratum of its own (local of chrony, orphan mode of ntpd)."`
	MaxRootDistance time.Duration  `config:"max_root_distance" default:"1.5s" min:"0s" doc:"How wrong the time of the server may be at most by its own account: half the delay to the reference clock, the way to this host included, and the dispersion (RFC 5905, appendix A.5.5.2). It grows from the last time that the server heard of its sources. 0: not looked at."`
	MaxReferenceAge time.Duration  `config:"max_reference_age" default:"0s" min:"0s" doc:"How long ago the clock of the server may have been set or corrected last. It has to be longer than its sources are polled, which may take half an hour. 0: not looked at."`
	Reference       *regexp.Regexp `config:"reference" doc:"Regular expression that the reference of the server must match: that of stratum 1 is a word, as in 'GPS' or 'PPS', all others are written as an IPv4 address, which for a source with IPv6 is a hash."`
	NotReference    *regexp.Regexp `config:"not_reference" doc:"Regular expression that the reference must not match. '^(127[.]127[.]1[.]|LOC)' fails a server that has nothing but its own clock."`
	MaxOffset       time.Duration  `config:"max_offset" default:"0s" min:"0s" doc:"How far the clock of the server may be from that of this host. On the server's own host they are the same clock, so it tells something only of another host, whose clock is right. 0: not looked at."`
}

// Validate implements Validator.
func (n *NTP) Validate() error {
	_, _, err := withPort("address", n.Address, "123")
	return err
}

// Target implements Aimed.
func (n *NTP) Target() netip.Addr { return targetWithPort(n.Address) }

// Check implements Checker.
func (n *NTP) Check(ctx context.Context) error {
	_, address, err := withPort("address", n.Address, "123")
	if err != nil {
		return err
	}
	answer, err := askNTP(ctx, address)
	if err == nil {
		answer.seen(sight(ctx))
		err = n.judge(answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

// ntpTime is a time in units of 1/2^32 s since 1900. It overflows in 2036: only the
// difference of two that are less than 68 years apart says something (RFC 5905 section 6).
type ntpTime uint64

// ntpTimeOf returns a time as NTP has it.
func ntpTimeOf(t time.Time) ntpTime {
	const from1900 = 2208988800 // seconds to 1970
	return ntpTime(uint64(t.Unix()+from1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second))
}

// since returns the time from u to t.
func (t ntpTime) since(u ntpTime) time.Duration {
	d := int64(t - u)
	return time.Duration(d>>32)*time.Second + time.Duration(uint64(uint32(d))*uint64(time.Second)>>32)
}

// ntpShort reads a time span in units of 1/2^16 s.
func ntpShort(b []byte) time.Duration {
	return time.Duration(uint64(binary.BigEndian.Uint32(b)) * uint64(time.Second) >> 16)
}

// ntpAnswer is what a server said, and what follows of when it said so.
type ntpAnswer struct {
	leap, mode                   byte
	stratum                      int
	rootDelay, rootDispersion    time.Duration
	id                           [4]byte
	origin                       uint64 // what the request had as its time
	reference, received, written ntpTime
	offset                       time.Duration // of the server's clock: positive, it is ahead of this host's
	delay                        time.Duration // there and back
}

// ntpSize is the length of a packet without extensions.
const ntpSize = 48

// parseNTP reads a packet (RFC 5905 section 7.3). What may follow the header is left out.
func parseNTP(packet []byte) (ntpAnswer, error) {
	if len(packet) < ntpSize {
		return ntpAnswer{}, fmt.Errorf("an answer of %d bytes is no NTP, which has %d: %s", len(packet), ntpSize, excerpt(packet))
	}
	at := func(i int) ntpTime { return ntpTime(binary.BigEndian.Uint64(packet[i:])) }
	a := ntpAnswer{
		leap: packet[0] >> 6, mode: packet[0] & 7, stratum: int(packet[1]),
		rootDelay: ntpShort(packet[4:]), rootDispersion: ntpShort(packet[8:]), id: [4]byte(packet[12:16]),
		reference: at(16), origin: uint64(at(24)), received: at(32), written: at(40),
	}
	const server = 4
	if a.mode != server {
		return a, fmt.Errorf("an answer of mode %d is none of an NTP server, which is %d", a.mode, server)
	}
	return a, nil
}

// askNTP sends one request and waits for the answer to it.
func askNTP(ctx context.Context, address string) (ntpAnswer, error) {
	conn, err := connect(ctx, "udp", address, nil)
	if err != nil {
		return ntpAnswer{}, err
	}
	defer closeWith(ctx, conn)()
	// The time of a request is of use to nobody else. A random one can't be guessed by who
	// forges an answer.
	request := make([]byte, ntpSize)
	request[0] = 4<<3 | 3 // version 4, a client
	rand.Read(request[40:])
	began := time.Now()
	if _, err := conn.Write(request); err != nil {
		return ntpAnswer{}, fmt.Errorf("sending: %w", explain(ctx, err))
	}
	sight(ctx).waits("an answer")
	answer, err := readNTP(ctx, conn, binary.BigEndian.Uint64(request[40:]))
	if err != nil {
		return answer, err
	}
	took := time.Since(began)
	sent := ntpTimeOf(began)
	answer.delay = took - answer.written.since(answer.received)
	answer.offset = (answer.received.since(sent) + answer.written.since(sent) - took) / 2
	return answer, nil
}

// readNTP reads until the answer to a request comes.
func readNTP(ctx context.Context, conn net.Conn, origin uint64) (ntpAnswer, error) {
	for stray, buf := 0, make([]byte, 1<<10); ; stray++ {
		size, err := conn.Read(buf)
		if err != nil && stray > 0 {
			return ntpAnswer{}, fmt.Errorf("%d answers, none of them to this request: %w", stray, explain(ctx, err))
		}
		if err != nil {
			return ntpAnswer{}, fmt.Errorf("waiting for an answer: %w", explain(ctx, err))
		}
		if answer, err := parseNTP(buf[:size]); err != nil || answer.origin == origin {
			return answer, err
		}
	}
}

// seen notes an answer. One of stratum 0 has no more to say than its error does.
func (a ntpAnswer) seen(s *Sight) {
	if s == nil {
		return
	}
	s.saw("answer", "stratum %d, leap indicator %d, reference %s", a.stratum, a.leap, a.referenceID())
	if a.stratum == 0 {
		return
	}
	s.saw("clock", "%s off from this host's, asked in %s", a.offset.Round(time.Microsecond), a.delay.Round(time.Microsecond))
	s.saw("sources", "root distance %s, last heard of %s before", a.rootDistance().Round(time.Microsecond), a.referenceAge().Round(time.Millisecond))
}

// rootDistance is how wrong the time of the server may be at most.
func (a ntpAnswer) rootDistance() time.Duration {
	return (a.rootDelay+max(a.delay, 0))/2 + a.rootDispersion
}

// referenceAge is how long before the answer the clock of the server was set or corrected, by
// that clock.
func (a ntpAnswer) referenceAge() time.Duration { return a.written.since(a.reference) }

// referenceID is the reference as it is written: a word or an address.
func (a ntpAnswer) referenceID() string {
	if word := a.word(); word != "" && a.stratum <= 1 {
		return word
	}
	return netip.AddrFrom4(a.id).String()
}

// word is the reference as a word of ASCII; "" if it is none.
func (a ntpAnswer) word() string {
	word := bytes.TrimRight(a.id[:], "\x00")
	for _, b := range word {
		if b <= ' ' || b > '~' {
			return ""
		}
	}
	return string(word)
}

// judge says why an answer is not to be trusted.
func (n *NTP) judge(a ntpAnswer) error {
	const alarm = 3 // leap indicator of a clock that is not synchronized
	switch {
	case a.stratum == 0 && a.word() != "":
		return a.kiss()
	case a.leap == alarm, a.stratum == 0, a.stratum > 15:
		return fmt.Errorf("the server is not synchronized: stratum %d, leap indicator %d", a.stratum, a.leap)
	case a.written == 0 || a.received == 0 || a.written.since(a.received) < 0:
		return errors.New("the server says no time, or sent its answer before it had the request")
	case a.stratum > n.MaxStratum:
		return fmt.Errorf("the server is of stratum %d, more than %d", a.stratum, n.MaxStratum)
	case n.Reference != nil && !n.Reference.MatchString(a.referenceID()):
		return fmt.Errorf("the reference of the server, %s, does not match '%s'", a.referenceID(), n.Reference)
	case n.NotReference != nil && n.NotReference.MatchString(a.referenceID()):
		return fmt.Errorf("the reference of the server, %s, matches '%s'", a.referenceID(), n.NotReference)
	}
	return n.judgeTimes(a)
}

func (n *NTP) judgeTimes(a ntpAnswer) error {
	distance, age := a.rootDistance(), a.referenceAge()
	switch {
	case n.MaxRootDistance != 0 && distance > n.MaxRootDistance:
		return fmt.Errorf("the root distance of the server is %s, more than %s", distance, n.MaxRootDistance)
	case n.MaxReferenceAge != 0 && a.reference == 0:
		return errors.New("the clock of the server was never set")
	case n.MaxReferenceAge != 0 && age < 0:
		return fmt.Errorf("the clock of the server is to be set only in %s, by its own account", -age)
	case n.MaxReferenceAge != 0 && age > n.MaxReferenceAge:
		return fmt.Errorf("the clock of the server was last set %s ago, more than %s", age, n.MaxReferenceAge)
	case n.MaxOffset != 0 && a.offset.Abs() > n.MaxOffset:
		way := "ahead of"
		if a.offset < 0 {
			way = "behind"
		}
		return fmt.Errorf("the clock of the server is %s %s that of this host, more than %s", a.offset.Abs(), way, n.MaxOffset)
	}
	return nil
}

// kiss words a kiss-o'-death (RFC 5905 section 7.4), which has its code for a reference.
func (a ntpAnswer) kiss() error {
	switch code := a.word(); code {
	case "RATE":
		return errors.New("the server refuses (RATE): it is asked more often than its rate limit allows")
	case "DENY", "RSTR":
		return fmt.Errorf("the server refuses (%s): its access control does not let this host ask", code)
	case "INIT", "STEP":
		return fmt.Errorf("the server is not synchronized (%s)", code)
	default:
		return fmt.Errorf("the server refuses (kiss code %q)", code)
	}
}
