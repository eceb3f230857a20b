package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Flow is one stream of requests of a client.
type Flow struct {
	Way    string // UDP, TCP or TCPOpen
	Server netip.Addr
}

func (f Flow) String() string { return fmt.Sprintf("%s to %s", f.Way, f.Server) }

// Flows are the flows of every way to each server.
func Flows(servers ...netip.Addr) []Flow {
	var all []Flow
	for _, s := range servers {
		for _, way := range []string{UDP, TCP, TCPOpen} {
			all = append(all, Flow{way, s})
		}
	}
	return all
}

// Tally counts the requests of a flow.
type Tally struct {
	Sent     int
	Answered map[string]int // by host
	// Resent counts requests that were sent again because their connection ended
	// first, which is what a client does (RFC 7766, section 6.2.4).
	Resent int
	Losses []Loss
}

// Loss is a request without an answer.
type Loss struct {
	At  time.Time // when it was sent
	Err error     // why it has no answer
}

// Load is a client at work.
type Load struct {
	stop    context.CancelFunc
	working sync.WaitGroup
	mu      sync.Mutex
	tallies map[Flow]*Tally
}

// Start sends requests on each of the flows at the rate, in requests per second
// and flow, until Stop or until ctx is done.
func (c *Client) Start(ctx context.Context, rate float64, flows ...Flow) *Load {
	sending, stop := context.WithCancel(ctx)
	l := &Load{stop: stop, tallies: map[Flow]*Tally{}}
	for _, f := range flows {
		l.tallies[f] = &Tally{Answered: map[string]int{}}
	}
	for f := range l.tallies { // complete before anybody counts in it
		l.working.Go(func() { l.send(sending, c, f, rate) })
	}
	return l
}

// Stop ends the sending, waits for the last answers and returns the counts.
func (l *Load) Stop() map[Flow]Tally {
	l.stop()
	l.working.Wait()
	return l.Tallies()
}

// Tallies are the counts of now. Requests on their way are sent but neither
// answered nor lost.
func (l *Load) Tallies() map[Flow]Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[Flow]Tally{}
	for f, t := range l.tallies {
		c := *t
		c.Answered = map[string]int{}
		maps.Copy(c.Answered, t.Answered)
		c.Losses = append([]Loss(nil), t.Losses...)
		all[f] = c
	}
	return all
}

// send sends the requests of a flow. Each has its own goroutine, so that a slow
// one holds up none; on an open connection they wait their turn.
func (l *Load) send(sending context.Context, c *Client, f Flow, rate float64) {
	due := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer due.Stop()
	open := &stream{client: c, flow: f}
	var asking sync.WaitGroup
	defer open.close()
	defer asking.Wait()
	answers := context.WithoutCancel(sending) // the last request is waited for
	for {
		select {
		case <-sending.Done():
			return
		case at := <-due.C:
			if f.Way == TCPOpen {
				l.request(answers, at, open)
				continue
			}
			asking.Go(func() {
				once := &stream{client: c, flow: f}
				defer once.close()
				l.request(answers, at, once)
			})
		}
	}
}

// request sends one request and counts what becomes of it.
func (l *Load) request(ctx context.Context, at time.Time, s *stream) {
	t := l.tallies[s.flow]
	l.count(func() { t.Sent++ })
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for {
		host, err := s.ask(ctx)
		switch {
		case err == nil:
			l.count(func() { t.Answered[host]++ })
			return
		case s.flow.Way != UDP && ended(err) && ctx.Err() == nil:
			l.count(func() { t.Resent++ })
		default:
			l.count(func() { t.Losses = append(t.Losses, Loss{At: at, Err: err}) })
			return
		}
	}
}

func (l *Load) count(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// ended tells whether an open connection was ended from the other side, by a
// reset or in order. A refused one, where nobody listens, is none.
func ended(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

// stream is a connection that is opened when it is needed and kept until it fails.
type stream struct {
	client *Client
	flow   Flow
	conn   net.Conn
}

func (s *stream) ask(ctx context.Context) (host string, err error) {
	if s.conn == nil {
		network := s.flow.Way
		if network == TCPOpen {
			network = TCP
		}
		if s.conn, err = s.client.dial(ctx, network, s.flow.Server); err != nil {
			s.conn = nil
			return "", err
		}
	}
	if host, err = ask(ctx, s.conn); err != nil {
		s.close()
	}
	return host, err
}

func (s *stream) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
