package checks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/checks/health"
)

// dnsSerial are the settings by which the serial of a zone is held against that of its
// primary, and what the check knows of both.
type dnsSerial struct {
	Primary      string        `config:"primary" doc:"Primary of the zone, an address or a host, with or without a port (53). Its SOA is asked for over UDP, beside the query and with at most half of the timeout: every 10s, and every second while the server has a newer one. What it said last holds on while it does not answer, so a primary that is away makes no server unfit. For 'type: SOA', together with 'max_serial_lag' or 'max_serial_age'."`
	MaxSerialLag int           `config:"max_serial_lag" default:"-1" min:"-1" max:"2147483647" doc:"How far the serial may be behind that of the primary (RFC 1982). Where serials are dates, a day is about 100. -1: does not matter."`
	MaxSerialAge time.Duration `config:"max_serial_age" default:"0s" min:"0s" doc:"How long the server may go on with one serial that is not that of the primary. Set more than a transfer takes. It counts from when this keepcast saw it first, so it begins anew when keepcast is restarted. 0s: does not matter."`
	known        *dnsKnown
}

// How long what the primary said is believed.
const (
	primaryHolds      = 10 * time.Second
	primaryHoldsAhead = time.Second // where the server knows more: it was overtaken since
)

// dnsKnown is what is known of the serials from the runs before.
type dnsKnown struct {
	mu      sync.Mutex
	asked   time.Time // when the primary was asked last; zero: never
	failed  error     // why it gave no answer then
	has     bool      // it answered once
	primary uint32    // what it said last
	ahead   bool      // the server had a newer one in the last run
	differs time.Time // since when the server goes on with stuck, which the primary has not; zero: it does not
	stuck   uint32
}

// validateSerial is the part of Validate that is about serials.
func (d *DNS) validateSerial() error {
	asks := d.MaxSerialLag >= 0 || d.MaxSerialAge > 0
	switch {
	case d.Primary == "" && asks:
		return errors.New("max_serial_lag, max_serial_age: only with primary")
	case d.Primary == "":
		return nil
	case d.MaxSerialLag < 0 && d.MaxSerialAge == 0:
		return errors.New("primary: only with max_serial_lag or max_serial_age")
	case uint16(d.Type) != dns.TypeSOA:
		return errors.New("primary: only with type: SOA")
	}
	_, _, err := withPort("primary", d.Primary, "53")
	return err
}

// dnsPrimary is the primary in one run.
type dnsPrimary struct {
	dns   *DNS
	leave func()        // ends the question to it, and waits for that
	ready chan struct{} // is closed once the question is answered, or is not
	void  error         // why keepcast could not ask
}

// askPrimary begins to ask the primary, if it is time to. Its caller has to leave.
func (d *DNS) askPrimary(ctx context.Context) *dnsPrimary {
	p := &dnsPrimary{dns: d, leave: func() {}}
	if d.Primary == "" || !d.known.isTime() {
		return p
	}
	// What the run sees and waits for is the server.
	asking, cancel := context.WithTimeout(context.WithValue(ctx, sightKey{}, (*Sight)(nil)), primaryPatience(ctx))
	p.ready = make(chan struct{})
	p.leave = func() { cancel(); <-p.ready }
	go func() {
		defer close(p.ready)
		serial, err := d.primarySerial(asking)
		switch {
		case health.IsVoid(err):
			p.void = fmt.Errorf("asking the primary %s: %w", d.Primary, err)
		case !errors.Is(asking.Err(), context.Canceled): // else it had no chance to answer
			d.known.said(serial, err)
		}
	}()
	return p
}

// primaryPatience returns how long a run that ends with ctx waits for the primary.
func primaryPatience(ctx context.Context) time.Duration {
	const most = 2 * time.Second
	if end, ok := ctx.Deadline(); ok {
		return min(most, time.Until(end)/2)
	}
	return most
}

// primarySerial asks the primary for the serial of the zone.
func (d *DNS) primarySerial(ctx context.Context) (uint32, error) {
	host, address, err := withPort("primary", d.Primary, "53")
	if err != nil {
		return 0, err
	}
	run := &dnsRun{DNS: new(DNS), ctx: ctx, host: host, address: address}
	defer run.close()
	query := new(dns.Msg)
	query.Id = dns.Id()
	query.Question = []dns.Question{{Name: dns.Fqdn(d.Query), Qtype: dns.TypeSOA, Qclass: uint16(d.Class)}}
	reply, err := run.ask(query)
	if err != nil {
		return 0, err
	}
	if reply.Rcode != dns.RcodeSuccess {
		return 0, fmt.Errorf("got %s%s", Rcode(reply.Rcode), extended(reply))
	}
	return soaSerial(reply)
}

// soaSerial returns the serial of the SOA record in an answer.
func soaSerial(reply *dns.Msg) (uint32, error) {
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, errors.New("no SOA record: " + records(reply))
}

// isTime reports whether the primary is to be asked now.
func (k *dnsKnown) isTime() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	holds := primaryHolds
	if k.ahead {
		holds = primaryHoldsAhead
	}
	return k.asked.IsZero() || time.Since(k.asked) >= holds
}

// said notes what the primary answered.
func (k *dnsKnown) said(serial uint32, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.failed = time.Now(), err
	if err == nil {
		k.has, k.primary = true, serial
	}
}

// judge says what is wrong with the serial in a reply of the server.
func (p *dnsPrimary) judge(ctx context.Context, reply *dns.Msg) error {
	d := p.dns
	if d.Primary == "" {
		return nil
	}
	serial, err := soaSerial(reply)
	if err != nil {
		return err
	}
	if p.ready != nil {
		sight(ctx).waits("the primary %s", d.Primary)
		<-p.ready
	}
	if p.void != nil {
		return p.void
	}
	return d.known.judge(sight(ctx), d.dnsSerial, serial, time.Now())
}

// judge compares the serial of the server at some time with what is known of the primary's.
func (k *dnsKnown) judge(s *Sight, want dnsSerial, serial uint32, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		s.saw("primary", "%s: %v", want.Primary, k.failed)
	}
	if !k.has {
		s.saw("serial", "%d, nothing is known of the primary's", serial)
		return nil
	}
	lag := int64(int32(k.primary - serial)) // serial number arithmetic (RFC 1982)
	if lag == 0 {
		k.differs, k.ahead = time.Time{}, false
		s.saw("serial", "%d, as the primary %s has it", serial, want.Primary)
		return nil
	}
	if k.differs.IsZero() || k.stuck != serial {
		k.differs, k.stuck = now, serial
	}
	k.ahead = lag < 0
	relation, by := "behind", lag
	if k.ahead {
		relation, by = "ahead of", -lag
	}
	since := now.Sub(k.differs).Round(time.Millisecond)
	s.saw("serial", "%d, %d %s %d of the primary %s, for %s", serial, by, relation, k.primary, want.Primary, since)
	switch {
	case want.MaxSerialLag >= 0 && lag > int64(want.MaxSerialLag):
		return fmt.Errorf("the serial %d is %d behind %d of the primary %s, at most %d is allowed",
			serial, lag, k.primary, want.Primary, want.MaxSerialLag)
	case want.MaxSerialAge > 0 && since > want.MaxSerialAge:
		return fmt.Errorf("the serial %d has been %s %d of the primary %s for %s, at most %s is allowed",
			serial, relation, k.primary, want.Primary, since, want.MaxSerialAge)
	}
	return nil
}
