package checks

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/checks/health"
)

const soaOf = "example.com. 300 IN SOA ns.example.com. host.example.com. %d 3600 600 86400 300"

// localPort is where a query came from.
var localPort = regexp.MustCompile(`127\.0\.0\.1:\d+->`)

// serves answers each query with an SOA record of that serial, and counts the queries.
func serves(serial uint32, asked *atomic.Int64) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		w.WriteMsg(withRecords(q, fmt.Sprintf(soaOf, serial)))
	}
}

func TestDNSPrimary(t *testing.T) {
	noLeaks(t)
	var ignored atomic.Int64
	server := fakeDNS(t, serves(5, &ignored))
	empty := fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(withRecords(q)) })
	for name, tt := range map[string]struct {
		server  string
		primary dns.HandlerFunc
		err     string
		sight   string
	}{
		"same":      {primary: serves(5, &ignored), sight: "5, as the primary PRIMARY has it"},
		"behind":    {primary: serves(8, &ignored), sight: "5, 3 behind 8 of the primary PRIMARY, for 0s", err: "the serial 5 is 3 behind 8 of the primary PRIMARY, at most 2 is allowed"},
		"a little":  {primary: serves(7, &ignored), sight: "5, 2 behind 7 of the primary PRIMARY, for 0s"},
		"ahead":     {primary: serves(1, &ignored), sight: "5, 4 ahead of 1 of the primary PRIMARY, for 0s"},
		"refused":   {primary: func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused)) }, sight: "PRIMARY: got REFUSED|5, nothing is known of the primary's"},
		"no record": {primary: func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(withRecords(q)) }, sight: "PRIMARY: no SOA record: the answer is empty|5, nothing is known of the primary's"},
		"garbage":   {primary: func(w dns.ResponseWriter, _ *dns.Msg) { w.Write([]byte("garbage")) }, sight: "PRIMARY: dns: short read|5, nothing is known of the primary's"},
		"hang":      {primary: func(dns.ResponseWriter, *dns.Msg) {}, sight: "PRIMARY: timed out|5, nothing is known of the primary's"},
		"server":    {server: empty, primary: serves(5, &ignored), err: "no SOA record: the answer is empty"},
		"dead":      {sight: "PRIMARY: read udp LOCAL->PRIMARY: read: connection refused|5, nothing is known of the primary's"},
	} {
		t.Run(name, func(t *testing.T) {
			c := asksDNS(server, "example.com", dns.TypeSOA)
			if tt.server != "" {
				c.Server = tt.server
			}
			c.MaxSerialLag, c.Primary = 2, freeAddress(t)
			if tt.primary != nil {
				c.Primary = fakeDNS(t, tt.primary)
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if name == "hang" {
				ctx = shortly(t)
			}
			var s Sight
			err := c.Check(WithSight(ctx, &s))
			want := tt.err
			if want != "" {
				want = "asking ADDR over udp for example.com. IN SOA: " + strings.ReplaceAll(want, "PRIMARY", c.Primary)
			}
			sameError(t, err, want, c.Server)
			var got []string
			seen, _ := s.Seen()
			for _, one := range seen {
				if one.What == "serial" || one.What == "primary" {
					got = append(got, strings.ReplaceAll(one.Text, c.Primary, "PRIMARY"))
				}
			}
			text := localPort.ReplaceAllString(strings.Join(got, "|"), "LOCAL->")
			if text != tt.sight {
				t.Errorf("saw\n%s\nwant\n%s", text, tt.sight)
			}
		})
	}
}

// Nothing is asked of the primary more often than every 10 s, and what it said holds on
// while it hangs.
func TestDNSPrimaryHolds(t *testing.T) {
	noLeaks(t)
	var asked, ignored atomic.Int64
	var serial atomic.Uint32
	serial.Store(8)
	primary := fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		if now := serial.Load(); now > 0 {
			w.WriteMsg(withRecords(q, fmt.Sprintf(soaOf, now)))
		}
	})
	c := asksDNS(fakeDNS(t, serves(5, &ignored)), "example.com", dns.TypeSOA)
	c.Primary, c.MaxSerialLag = primary, 0
	behind := "asking ADDR over udp for example.com. IN SOA: the serial 5 is 3 behind 8 of the primary " + primary + ", at most 0 is allowed"
	again := func() {
		c.known.mu.Lock()
		c.known.asked = c.known.asked.Add(-primaryHolds)
		c.known.mu.Unlock()
	}
	for range 3 {
		sameError(t, c.Check(within(t)), behind, c.Server)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	serial.Store(0) // hangs
	again()
	sameError(t, c.Check(shortly(t)), behind, c.Server)
	sameError(t, c.Check(shortly(t)), behind, c.Server)
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
	serial.Store(5)
	again()
	sameError(t, c.Check(within(t)), "", c.Server)
}

// A server that does not answer is not waited for longer because of the primary, and then
// the primary had no chance to answer.
func TestDNSPrimaryLeft(t *testing.T) {
	noLeaks(t)
	var asked atomic.Int64
	primary := fakeDNS(t, func(dns.ResponseWriter, *dns.Msg) { asked.Add(1) })
	c := asksDNS(freeAddress(t), "example.com", dns.TypeSOA)
	c.Primary, c.MaxSerialLag = primary, 0
	for range 2 {
		if err := c.Check(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
			t.Error(err)
		}
	}
	if !c.known.isTime() {
		t.Error("the primary counts as asked")
	}
}

// A primary that hangs leaves half of the timeout.
func TestDNSPrimaryPatience(t *testing.T) {
	for name, tt := range map[string]struct{ timeout, most time.Duration }{
		"short": {time.Second, 500 * time.Millisecond},
		"long":  {time.Hour, 2 * time.Second},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
		defer cancel()
		if got := primaryPatience(ctx); got > tt.most {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if got := primaryPatience(context.Background()); got != 2*time.Second {
		t.Errorf("without a timeout: got %s", got)
	}
}

func TestDNSPrimaryGuarded(t *testing.T) {
	noLeaks(t)
	var ignored atomic.Int64
	c := asksDNS(fakeDNS(t, serves(5, &ignored)), "example.com", dns.TypeSOA)
	c.Primary, c.MaxSerialLag = "192.0.2.1", 0
	ctx := WithGuard(within(t), func(to netip.Addr) error {
		if to == netip.MustParseAddr("192.0.2.1") {
			return fmt.Errorf("%s is not here", to)
		}
		return nil
	})
	err := c.Check(ctx)
	if !health.IsVoid(err) {
		t.Error("not void")
	}
	sameError(t, err, "asking ADDR over udp for example.com. IN SOA: asking the primary 192.0.2.1: dial udp 192.0.2.1:53: 192.0.2.1 is not here", c.Server)
}

func TestDNSSerials(t *testing.T) {
	type run struct {
		after           time.Duration
		serial, primary uint32
		err             string
	}
	lag := dnsSerial{Primary: "p", MaxSerialLag: 1}
	age := dnsSerial{Primary: "p", MaxSerialLag: -1, MaxSerialAge: time.Minute}
	for name, tt := range map[string]struct {
		want dnsSerial
		runs []run
	}{
		"wraps":          {lag, []run{{0, math.MaxUint32, 0, ""}, {0, math.MaxUint32, 1, "the serial 4294967295 is 2 behind 1 of the primary p, at most 1 is allowed"}}},
		"wraps, ahead":   {lag, []run{{0, 5, math.MaxUint32, ""}}},
		"half around":    {lag, []run{{0, 0, 1 << 31, ""}, {0, 0, 1<<31 - 1, "the serial 0 is 2147483647 behind 2147483647 of the primary p, at most 1 is allowed"}}},
		"too long":       {age, []run{{0, 5, 6, ""}, {time.Minute, 5, 6, ""}, {61 * time.Second, 5, 6, "the serial 5 has been behind 6 of the primary p for 1m1s, at most 1m0s is allowed"}}},
		"primary goes":   {age, []run{{0, 5, 6, ""}, {61 * time.Second, 5, 9, "the serial 5 has been behind 9 of the primary p for 1m1s, at most 1m0s is allowed"}}},
		"server goes":    {age, []run{{0, 5, 6, ""}, {61 * time.Second, 6, 9, ""}, {122 * time.Second, 6, 9, "the serial 6 has been behind 9 of the primary p for 1m1s, at most 1m0s is allowed"}}},
		"in between":     {age, []run{{0, 5, 6, ""}, {50 * time.Second, 6, 6, ""}, {61 * time.Second, 6, 7, ""}}},
		"ahead too long": {age, []run{{0, 5, 4, ""}, {61 * time.Second, 5, 4, "the serial 5 has been ahead of 4 of the primary p for 1m1s, at most 1m0s is allowed"}}},
		"back and forth": {age, []run{{0, 5, 6, ""}, {50 * time.Second, 6, 6, ""}, {100 * time.Second, 5, 6, ""}, {101 * time.Second, 5, 6, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			k, begin := new(dnsKnown), time.Now()
			for _, r := range tt.runs {
				k.said(r.primary, nil)
				sameError(t, k.judge(nil, tt.want, r.serial, begin.Add(r.after)), r.err, "")
			}
		})
	}
}

// Where the server has a newer serial than the primary had, the primary has moved on.
func TestDNSAheadAsksAgain(t *testing.T) {
	k := new(dnsKnown)
	ago := func(d time.Duration) {
		k.said(5, nil)
		k.asked = time.Now().Add(-d)
	}
	judge := func(serial uint32) { k.judge(nil, dnsSerial{MaxSerialLag: -1}, serial, time.Now()) }
	for _, tt := range []struct {
		serial uint32
		ago    time.Duration
		is     bool
	}{
		{5, 9 * time.Second, false},
		{5, 10 * time.Second, true},
		{6, 0, false},
		{6, time.Second, true},
		{4, time.Second, false},
		{5, time.Second, false},
	} {
		ago(tt.ago)
		judge(tt.serial)
		if got := k.isTime(); got != tt.is {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}

func TestDNSSerialValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		serial dnsSerial
		rrtype uint16
		err    string
	}{
		"none":       {dnsSerial{MaxSerialLag: -1}, dns.TypeA, ""},
		"lag":        {dnsSerial{Primary: "192.0.2.1", MaxSerialLag: 0}, dns.TypeSOA, ""},
		"age":        {dnsSerial{Primary: "[2001:db8::1]:5353", MaxSerialLag: -1, MaxSerialAge: time.Second}, dns.TypeSOA, ""},
		"lag of 0":   {dnsSerial{}, dns.TypeSOA, "max_serial_lag, max_serial_age: only with primary"},
		"no primary": {dnsSerial{MaxSerialLag: 1}, dns.TypeSOA, "max_serial_lag, max_serial_age: only with primary"},
		"age alone":  {dnsSerial{MaxSerialLag: -1, MaxSerialAge: 1}, dns.TypeSOA, "max_serial_lag, max_serial_age: only with primary"},
		"no limit":   {dnsSerial{Primary: "a", MaxSerialLag: -1}, dns.TypeSOA, "primary: only with max_serial_lag or max_serial_age"},
		"type":       {dnsSerial{Primary: "a", MaxSerialLag: 1}, dns.TypeA, "primary: only with type: SOA"},
		"address":    {dnsSerial{Primary: "a:b:c", MaxSerialLag: 1}, dns.TypeSOA, `primary: "a:b:c" is no address, host or either with a port`},
		"port":       {dnsSerial{Primary: "a:0", MaxSerialLag: 1}, dns.TypeSOA, `primary: "0" is no port from 1 to 65535`},
	} {
		t.Run(name, func(t *testing.T) {
			c := asksDNS("192.0.2.1", "example.com", tt.rrtype)
			c.dnsSerial = tt.serial
			sameError(t, c.Validate(), tt.err, "")
		})
	}
}
