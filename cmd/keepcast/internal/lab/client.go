package lab

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Client is the node that asks the anycast services.
type Client struct{ *Node }

// The ways in which a client asks.
const (
	UDP     = "udp"      // each request from a new socket
	TCP     = "tcp"      // each request on a new connection
	TCPOpen = "tcp-open" // all requests on one connection, opened again when it ends
)

// Patience is how long a request may go unanswered before it counts as lost.
const Patience = time.Second

// Ask sends one request and returns the host that answered, or why none did. Way
// is UDP or TCP.
func (c *Client) Ask(ctx context.Context, way string, server netip.Addr) (host string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	conn, err := c.dial(ctx, way, server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return ask(ctx, conn)
}

// dial opens a socket in the client's namespace.
func (c *Client) dial(ctx context.Context, way string, server netip.Addr) (conn net.Conn, err error) {
	err = c.Do(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, way, netip.AddrPortFrom(server, 53).String())
		return err
	})
	return conn, err
}

// ask sends a request on conn and waits for its answer.
func ask(ctx context.Context, conn net.Conn) (host string, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	co := &dns.Conn{Conn: conn}
	m := request()
	if err := co.WriteMsg(m); err != nil {
		return "", err
	}
	for {
		r, err := co.ReadMsg()
		if err != nil {
			return "", err
		}
		if r.Id != m.Id {
			continue // of an earlier request that was given up
		}
		if r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
			return "", fmt.Errorf("answer: %s with %d records", dns.RcodeToString[r.Rcode], len(r.Answer))
		}
		return hostIn(r)
	}
}

func request() *dns.Msg {
	m := new(dns.Msg).SetQuestion(Question, dns.TypeTXT).SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	return m
}

// hostIn is the host that the answer names in its NSID.
func hostIn(r *dns.Msg) (string, error) {
	opt := r.IsEdns0()
	if opt == nil {
		return "", errors.New("answer: no EDNS")
	}
	for _, o := range opt.Option {
		id, ok := o.(*dns.EDNS0_NSID)
		if !ok {
			continue
		}
		name, err := hex.DecodeString(id.Nsid)
		if err != nil {
			return "", fmt.Errorf("answer: NSID %q: %w", id.Nsid, err)
		}
		return strings.ToLower(string(name)), nil
	}
	return "", errors.New("answer: no NSID")
}

// AwaitServed waits until host answers each of the addresses, over UDP and TCP.
func (c *Client) AwaitServed(ctx context.Context, host string, servers ...netip.Addr) error {
	for _, server := range servers {
		for _, way := range []string{UDP, TCP} {
			err := Until(ctx, fmt.Sprintf("answer from %s for %s over %s", host, server, way), func(ctx context.Context) error {
				by, err := c.Ask(ctx, way, server)
				if err == nil && by != host {
					err = fmt.Errorf("answer from %s", by)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
