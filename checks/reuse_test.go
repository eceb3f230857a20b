package checks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestReuseEvery(t *testing.T) {
	for _, tt := range []struct {
		reuse    bool
		interval time.Duration
		err      string
	}{
		{true, time.Minute - 1, ""},
		{true, time.Minute, "reuse: a connection is kept for less than a minute, and interval is 1m0s: leave out reuse, or lower interval"},
		{false, time.Hour, ""},
	} {
		for _, c := range []Periodic{&HTTP{Reuse: tt.reuse}, &GRPC{Reuse: tt.reuse}, &Metrics{Reuse: tt.reuse}, &DNS{Reuse: tt.reuse}} {
			sameError(t, c.ValidateEvery(tt.interval), tt.err, "")
		}
	}
}

// reusing starts a server and returns a check of it, what that keeps, and how its errors begin.
type reusing func(t *testing.T, f *fickle) (c Checker, k *kept, begin string)

func dnsReusing(f *fickle, transport string) (Checker, *kept, string) {
	d := asksDNS(f.Addr().String(), "www.example.com", dns.TypeA)
	d.Transport, d.Reuse, d.TLS.SkipVerify = transport, true, transport != "tcp"
	d.Path = "/dns-query"
	return d, d.kept, "asking ADDR over " + transport + " for www.example.com. IN A: "
}

func grpcReusing(f *fickle, transport string) (Checker, *kept, string) {
	g := &GRPC{Address: f.Addr().String(), Transport: transport, Reuse: true, kept: new(kept)}
	g.TLS.SkipVerify = transport == "tls"
	return g, g.kept, "ADDR: health of the server: "
}

func metricsReusing(t *testing.T, f *fickle, scheme string) (Checker, *kept, string) {
	m := &Metrics{URL: scheme + "://" + f.Addr().String(), Query: queryOf(t, "up == 1"), Reuse: true, kept: new(kept)}
	m.TLS.SkipVerify = scheme == "https"
	return m, m.kept, "GET " + scheme + "://ADDR: "
}

func exporter(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }

var reusers = map[string]reusing{
	"http over HTTP/2": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "h2", exporter)
		h := &HTTP{URL: "https://" + f.Addr().String(), Codes: codes(t, "2xx"), Reuse: true, kept: new(kept)}
		h.TLS.SkipVerify = true
		return h, h.kept, "GET https://ADDR: "
	},
	"grpc": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "h2c", healthServer{"": serving}.ServeHTTP)
		return grpcReusing(f, "tcp")
	},
	"grpc over TLS": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "h2", healthServer{"": serving}.ServeHTTP)
		return grpcReusing(f, "tls")
	},
	"metrics": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "", exporter)
		return metricsReusing(t, f, "http")
	},
	"metrics over HTTP/2": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "h2", exporter)
		return metricsReusing(t, f, "https")
	},
	"dns over TCP": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveDNS(t, false)
		return dnsReusing(f, "tcp")
	},
	"dns over TLS": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveDNS(t, true)
		return dnsReusing(f, "tls")
	},
	"dns over HTTPS": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "h2", doh)
		return dnsReusing(f, "https")
	},
	"dns over HTTPS without HTTP/2": func(t *testing.T, f *fickle) (Checker, *kept, string) {
		f.serveHTTP(t, "tls", func(w http.ResponseWriter, r *http.Request) {
			r.ProtoMajor = 2 // doh wants it
			doh(w, r)
		})
		return dnsReusing(f, "https")
	},
}

// reuse runs a test for each kind that can keep its connection.
func reuse(t *testing.T, test func(t *testing.T, f *fickle, c Checker, k *kept, begin string)) {
	t.Helper()
	for name, start := range reusers {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			f := newFickle(t)
			c, k, begin := start(t, f)
			test(t, f, c, k, begin)
			if err := c.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
			f.wantsNone(t)
		})
	}
}

// fit has a check run several times, for which the server accepts so many connections.
func (f *fickle) fit(t *testing.T, c Checker, runs, made int) {
	t.Helper()
	for range runs {
		ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
		err := c.Check(ctx)
		end() // as the probe does after each run
		if err != nil {
			t.Fatal(err)
		}
	}
	f.wants(t, made)
}

// A connection serves runs until one fails, and the check lets go of it at its end.
func TestReuseKinds(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, _ string) {
		f.fit(t, c, 3, 1)
		f.is(treatsIll)
		if err := c.Check(within(t)); err == nil {
			t.Error("it is fit")
		}
		f.wants(t, 0) // what is wrong there is believed
		f.wantsNone(t)
		f.is(treatsWell)
		f.fit(t, c, 3, 1)
	})
}

// A server may end a connection between two runs, and just as a request comes to it.
func TestReuseKindsServerEnds(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, begin string) {
		for range 5 {
			f.fit(t, c, 2, 1)
			f.hangUp()
		}
		f.is(answersOnce)
		f.fit(t, c, 5, 5)
		f.Close()
		f.hangUp()
		sameError(t, c.Check(within(t)), begin+"dial tcp ADDR: connect: connection refused", f.Addr().String())
	})
}

// A server that ends each connection on which it should answer is no better for those who ask again.
func TestReuseKindsServerEndsAll(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, _ string) {
		f.fit(t, c, 1, 1)
		f.is(hangsUp)
		if err := c.Check(within(t)); err == nil {
			t.Error("it is fit")
		}
		f.wants(t, 1) // once, not for ever
	})
}

// A server that resets requests on a connection which it leaves open is asked over a new one.
func TestReuseResets(t *testing.T) {
	noLeaks(t)
	f, served := newFickle(t), make(chan string, 10)
	last := ""
	f.serveHTTP(t, "h2c", func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr == last {
			panic(http.ErrAbortHandler)
		}
		served <- r.RemoteAddr
		healthServer{"": serving}.ServeHTTP(w, r)
	})
	c, k, _ := grpcReusing(f, "tcp")
	for range 3 {
		f.fit(t, c, 1, 1)
		last = <-served
	}
	k.drop()
}

// The guard is asked for what is kept, as for what is new.
func TestReuseKindsGuarded(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, begin string) {
		elsewhere := error(nil)
		ctx := WithGuard(within(t), func(netip.Addr) error { return elsewhere })
		if err := c.Check(ctx); err != nil {
			t.Fatal(err)
		}
		elsewhere = errors.New("another host would answer")
		err := c.Check(ctx)
		if !health.IsVoid(err) {
			t.Error("not void")
		}
		sameError(t, err, begin+"another host would answer", f.Addr().String())
		f.wants(t, 1)
	})
}

// A connection is not kept for ever, nor for another VRF, nor when a socket was closed on which
// the service accepted.
func TestReuseKindsNotForEver(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, k *kept, begin string) {
		f.fit(t, c, 2, 1)
		k.since = k.since.Add(-keptFor / 2)
		f.fit(t, c, 1, 0)
		k.since = k.since.Add(-keptFor / 2)
		f.fit(t, c, 2, 1)
		ctx := WithDevice(within(t), func() (string, error) { return "lo", nil })
		for range 2 {
			if err := c.Check(ctx); err != nil {
				t.Fatal(err)
			}
		}
		f.wants(t, 1)
		ctx = WithDevice(within(t), func() (string, error) { return "", errors.New("no buffer space") })
		err := c.Check(ctx)
		if !health.IsVoid(err) {
			t.Error("not void")
		}
		sameError(t, err, begin+"no buffer space", f.Addr().String())
	})
}

// A connection outlives the socket that accepted it, and still says nothing of who comes anew.
func TestReuseKindsStopsListening(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, begin string) {
		ctx, woken := followed(t)
		if err := c.Check(ctx); err != nil {
			t.Fatal(err)
		}
		follower(ctx).Learn()
		f.Close()
		drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
		err := c.Check(ctx)
		if !health.IsCertain(err) {
			t.Error("not certain")
		}
		sameError(t, err, begin+"dial tcp ADDR: connect: connection refused", f.Addr().String())
	})
}

// A run that times out takes its connection along.
func TestReuseKindsHangs(t *testing.T) {
	reuse(t, func(t *testing.T, f *fickle, c Checker, _ *kept, begin string) {
		f.fit(t, c, 2, 1)
		f.is(keepsSilent)
		sameError(t, c.Check(shortly(t)), begin+"timed out", f.Addr().String())
		f.wants(t, 0)
		f.wantsNone(t)
		f.is(treatsWell)
		f.fit(t, c, 2, 1)
	})
}
