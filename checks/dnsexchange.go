package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"

	"github.com/miekg/dns"
)

// dnsRun is one run of the check: the way to the server, which all its queries take.
type dnsRun struct {
	*DNS
	ctx       context.Context
	host      string
	address   string
	transport string // by which the last query went
	conns     map[string]*dns.Conn
	old       bool // the connection is of a run before
	closers   []func()
}

// close ends the connections of the run, but for one that is kept.
func (r *dnsRun) close() {
	for _, end := range r.closers {
		end()
	}
}

// ask sends a query and returns the reply to it. One that is truncated is asked for again
// over TCP, and one that lacks the cookie of the server with it.
func (r *dnsRun) ask(query *dns.Msg) (*dns.Msg, error) {
	r.transport = cmp.Or(r.Transport, "udp")
	reply, err := r.exchange(query)
	if err == nil && reply.Rcode == dns.RcodeBadCookie && (r.Cookie || r.RequireCookie) {
		if _, err := r.cookies.theirs(reply); err != nil {
			return nil, err
		}
		sight(r.ctx).saw("badcookie", "asking again with the cookie of the server")
		query = r.cookies.withCookie(query)
		reply, err = r.exchange(query)
	}
	if err != nil || r.transport != "udp" || !reply.Truncated {
		return reply, err
	}
	sight(r.ctx).saw("truncated", "asking again over TCP")
	r.transport = "tcp"
	return r.exchange(query)
}

// conn returns the connection of the run for its transport, and gets one if there is none.
func (r *dnsRun) conn() (*dns.Conn, error) {
	if conn, ok := r.conns[r.transport]; ok {
		return conn, nil
	}
	conn, err := r.connect()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(r.ctx, func() { conn.Close() })
	r.closers = append(r.closers, func() {
		stop()
		if !r.Reuse {
			conn.Close()
		}
	})
	if r.conns == nil {
		r.conns = map[string]*dns.Conn{}
	}
	r.conns[r.transport] = &dns.Conn{Conn: conn, UDPSize: uint16(r.EDNSSize)}
	return r.conns[r.transport], nil
}

// connect returns the connection that is kept, or opens one.
func (r *dnsRun) connect() (net.Conn, error) {
	if !r.Reuse {
		return r.dial()
	}
	conn, err := r.kept.conn(r.ctx)
	if r.old = conn != nil; r.old || err != nil {
		return conn, err
	}
	if conn, err = r.dial(); err == nil {
		r.kept.keep(conn)
	}
	return conn, err
}

// dial opens a connection for the transport of the run.
func (r *dnsRun) dial() (net.Conn, error) {
	if r.transport != "tls" {
		return connect(r.ctx, r.transport, r.address, nil)
	}
	secure, err := r.TLS.config(r.host)
	if err != nil {
		return nil, err
	}
	return connect(r.ctx, "tcp", r.address, secure)
}

// exchange sends a query once and returns the reply to it. Twice if the connection is of a run
// before and does not bring that: the server may end it at any time (RFC 7766 section 6.2.4),
// or have more to say to what was asked before. The new one has the last word.
func (r *dnsRun) exchange(query *dns.Msg) (*dns.Msg, error) {
	if r.transport == "https" {
		return r.post(r.ctx, r.host, r.address, query)
	}
	conn, err := r.conn()
	if err != nil {
		return nil, err
	}
	reply, err := r.over(conn, query)
	if err != nil && r.old && r.ctx.Err() == nil {
		r.kept.drop()
		delete(r.conns, r.transport)
		return r.exchange(query)
	}
	return reply, err
}

// over exchanges a query over a connection.
func (r *dnsRun) over(conn *dns.Conn, query *dns.Msg) (*dns.Msg, error) {
	packed, err := r.send(conn, query)
	if err != nil {
		return nil, explain(r.ctx, err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(packed); err != nil {
		return nil, explain(r.ctx, err)
	}
	sight(r.ctx).sawReply(reply, len(packed))
	return reply, answersTo(query, reply)
}

// send sends a query over a connection and returns what came back, with a header at least.
func (r *dnsRun) send(conn *dns.Conn, query *dns.Msg) ([]byte, error) {
	if err := conn.WriteMsg(query); err != nil {
		return nil, err
	}
	sight(r.ctx).sawQuestion(query)
	for {
		packed, err := conn.ReadMsgHeader(nil)
		if err != nil || r.transport != "udp" || binary.BigEndian.Uint16(packed) == query.Id {
			return packed, err
		} // else it is meant for somebody who had the port before
	}
}

// post exchanges a query by DNS over HTTPS (RFC 8484). The id is 0, for the
// sake of caches on the way.
func (d *DNS) post(ctx context.Context, host, address string, query *dns.Msg) (*dns.Msg, error) {
	ctx, end := withRun(ctx)
	defer end()
	query.Id = 0
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	to := url.URL{Scheme: "https", Host: net.JoinHostPort(cmp.Or(d.TLS.ServerName, host), port), Path: cmp.Or(d.Path, "/dns-query")}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	const media = "application/dns-message"
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", media)
	w := wire{tls: d.TLS, via: func(string) string { return address }}
	s, sent := sight(ctx), func() {}
	if s != nil {
		req, sent = s.onceSent(req, func() { s.sawQuestion(query) })
	}
	resp, err := d.kept.over(w, d.Reuse).RoundTrip(req)
	if err != nil {
		return nil, explain(ctx, err)
	}
	sent()
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, dns.MaxMsgSize))
	if err != nil {
		return nil, fmt.Errorf("reading body: %w", explain(ctx, err))
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != media {
		return nil, fmt.Errorf("got %s with %q, expected 200 with %s: %s", resp.Status, kind, media, excerpt(body))
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(body); err != nil {
		return nil, fmt.Errorf("reading reply: %w", err)
	}
	s.sawReply(reply, len(body))
	return reply, answersTo(query, reply)
}
