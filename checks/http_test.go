package checks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// website answers by path.
func website(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/echo":
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s host=%s agent=%s x-a=%s auth=%s:%s length=%d body=%s",
			r.Method, r.Host, r.UserAgent(), r.Header.Get("X-A"), user, password, r.ContentLength, body)
	case "/proto":
		name := "none"
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		fmt.Fprintf(w, "%s host=%s sni=%s", r.Proto, r.Host, name)
	case "/down":
		http.Error(w, "database is gone", http.StatusServiceUnavailable)
	case "/empty":
		w.WriteHeader(http.StatusNoContent)
	case "/moved":
		http.Redirect(w, r, "/proto", http.StatusMovedPermanently)
	case "/moved-away":
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	case "/round":
		http.Redirect(w, r, "/round", http.StatusFound)
	case "/late":
		io.WriteString(w, strings.Repeat(" ", maxBody)+"ok")
	case "/broken":
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
	case "/stalls":
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case "/silent":
		<-r.Context().Done()
	}
}

func TestHTTP(t *testing.T) {
	noLeaks(t)
	s := httptest.NewServer(http.HandlerFunc(website))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().String()
	here := netip.MustParseAddrPort(addr)
	re := regexp.MustCompile

	for name, tt := range map[string]struct {
		http HTTP
		err  string
	}{
		"200":           {http: HTTP{URL: "http://ADDR/proto"}},
		"body":          {http: HTTP{URL: "http://ADDR/proto", Body: re(`^HTTP/1.1 host=127`)}},
		"body mismatch": {http: HTTP{URL: "http://ADDR/empty-page", Body: re(`ok`)}, err: `GET http://ADDR/empty-page: no match for 'ok' in the body ""`},
		"body too late": {http: HTTP{URL: "http://ADDR/late", Body: re(`ok`)}, err: `GET http://ADDR/late: no match for 'ok' in the body ""`},
		"body broken":   {http: HTTP{URL: "http://ADDR/broken", Body: re(`half`)}, err: `GET http://ADDR/broken: reading body: closed by the other side`},
		"body stalls":   {http: HTTP{URL: "http://ADDR/stalls", Body: re(`half`)}, err: `GET http://ADDR/stalls: reading body: timed out`},
		"body unread":   {http: HTTP{URL: "http://ADDR/stalls"}},
		"silent":        {http: HTTP{URL: "http://ADDR/silent"}, err: `GET http://ADDR/silent: timed out`},
		"request": {
			http: HTTP{
				URL: "http://me:secret@ADDR/echo", Method: "POST", Send: "a=b",
				Headers: map[string]string{"host": "www.example.com", "user-agent": "me", "x-a": "1"},
				Body:    re(`^POST host=www.example.com agent=me x-a=1 auth=me:secret length=3 body=a=b$`),
			},
		},
		"own agent": {http: HTTP{URL: "http://ADDR/echo", Body: re(`^GET host=ADDR agent=keepcast .* length=0 `)}},
		"head":      {http: HTTP{URL: "http://ADDR/down", Method: "HEAD"}, err: `HEAD http://ADDR/down: got 503 Service Unavailable, expected 2xx`},
		"503":       {http: HTTP{URL: "http://ADDR/down"}, err: `GET http://ADDR/down: got 503 Service Unavailable, expected 2xx: "database is gone"`},
		"password hidden": {
			http: HTTP{URL: "http://me:secret@ADDR/down"},
			err:  `GET http://me:xxxxx@ADDR/down: got 503 Service Unavailable, expected 2xx: "database is gone"`,
		},
		"503 expected": {http: HTTP{URL: "http://ADDR/down", Codes: codes(t, "500-599")}},
		"not 204": {
			http: HTTP{URL: "http://ADDR/empty", Codes: codes(t, "200, 203")},
			err:  `GET http://ADDR/empty: got 204 No Content, expected 200, 203`,
		},
		"redirect": {
			http: HTTP{URL: "http://ADDR/moved"},
			err:  `GET http://ADDR/moved: got 301 Moved Permanently, expected 2xx (to /proto): "<a href=\"/proto\">Moved Permanently</a>."`,
		},
		"redirect expected": {http: HTTP{URL: "http://ADDR/moved", Codes: codes(t, "301")}},
		"redirect followed": {http: HTTP{URL: "http://ADDR/moved", Redirects: true, Body: re(`^HTTP/1.1 host=ADDR`)}},
		"redirect to nothing": {
			http: HTTP{URL: "http://ADDR/moved-away", Redirects: true},
			err:  `GET http://127.0.0.1:1/: dial tcp 127.0.0.1:1: connect: connection refused`,
		},
		"redirects without end": {http: HTTP{URL: "http://ADDR/round", Redirects: true}, err: `GET /round: stopped after 10 redirects`},
		"connect":               {http: HTTP{URL: "http://www.example.com/proto", Connect: here, Body: re(`^HTTP/1.1 host=www.example.com sni=none$`)}},
		"connect follows":       {http: HTTP{URL: "http://www.example.com/moved", Connect: here, Redirects: true, Body: re(`^HTTP/1.1 host=www.example.com sni=none$`)}},
		"no server":             {http: HTTP{URL: "http://127.0.0.1:1/"}, err: `GET http://127.0.0.1:1/: dial tcp 127.0.0.1:1: connect: connection refused`},
		"no tls":                {http: HTTP{URL: "https://ADDR/"}, err: `GET https://ADDR/: tls handshake: tls: first record does not look like a TLS handshake`},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.http
			c.URL = strings.ReplaceAll(c.URL, "ADDR", addr)
			if c.Body != nil {
				c.Body = re(strings.ReplaceAll(c.Body.String(), "ADDR", addr))
			}
			if c.Codes.String() == "" {
				c.Codes = codes(t, "2xx")
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, addr)
		})
	}
}

// A server that does not speak HTTP/2 is refused; in which words depends on
// whether its answer or its end is seen first.
func TestHTTP2Required(t *testing.T) {
	noLeaks(t)
	s := httptest.NewServer(http.HandlerFunc(website))
	defer s.Close()
	h := HTTP{URL: s.URL + "/proto", HTTP2: "require", Codes: codes(t, "2xx")}
	if err := h.Check(within(t)); err == nil || !strings.Contains(err.Error(), "/proto: http2: ") {
		t.Errorf("got %v", err)
	}
}

func TestHTTP2(t *testing.T) {
	noLeaks(t)
	two, ca := secureServer(t, http.HandlerFunc(website), nil)
	one, _ := secureServer(t, http.HandlerFunc(website), func(s *httptest.Server) { s.EnableHTTP2 = false })
	clear := httptest.NewUnstartedServer(http.HandlerFunc(website))
	clear.Config.Protocols = new(http.Protocols)
	clear.Config.Protocols.SetUnencryptedHTTP2(true)
	clear.Start()
	t.Cleanup(clear.Close)
	trust := TLS{CA: ca}

	for name, tt := range map[string]struct {
		to   *httptest.Server
		http HTTP
		body string
		err  string
	}{
		"auto":          {to: two, http: HTTP{TLS: trust}, body: `^HTTP/2.0 `},
		"auto, 1 only":  {to: one, http: HTTP{HTTP2: "auto", TLS: trust}, body: `^HTTP/1.1 `},
		"never":         {to: two, http: HTTP{HTTP2: "never", TLS: trust}, body: `^HTTP/1.1 `},
		"required":      {to: two, http: HTTP{HTTP2: "require", TLS: trust}, body: `^HTTP/2.0 `},
		"not there":     {to: one, http: HTTP{HTTP2: "require", TLS: trust}, err: `GET ADDR/proto: tls handshake: remote error: tls: no application protocol`},
		"without tls":   {to: clear, http: HTTP{HTTP2: "require"}, body: `^HTTP/2.0 host=127.0.0.1:\d+ sni=none$`},
		"untrusted":     {to: two, http: HTTP{}, err: `GET ADDR/proto: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust`},
		"name from url": {to: two, http: HTTP{URL: "https://example.com/proto", Connect: netip.MustParseAddrPort(two.Listener.Addr().String()), TLS: trust}, body: `^HTTP/2.0 host=example.com sni=example.com$`},
		"name from tls": {to: two, http: HTTP{TLS: TLS{CA: ca, ServerName: "www.example.com"}}, body: `^HTTP/2.0 host=127.0.0.1:\d+ sni=www.example.com$`},
		"stalls":        {to: two, http: HTTP{URL: two.URL + "/stalls", TLS: trust}, body: `x`, err: `GET ADDR/stalls: reading body: timed out`},
		"silent":        {to: two, http: HTTP{URL: two.URL + "/silent", TLS: trust}, err: `GET ADDR/silent: timed out`},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.http
			c.Codes = codes(t, "200")
			if c.URL == "" {
				c.URL = tt.to.URL + "/proto"
			}
			if tt.body != "" {
				c.Body = regexp.MustCompile(tt.body)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, tt.to.URL)
		})
	}
}

// TestHTTP2Ignored meets servers that speak TLS but know no ALPN, or no TLS.
func TestHTTP2Ignored(t *testing.T) {
	s, ca := secureServer(t, http.HandlerFunc(website), func(s *httptest.Server) {
		s.EnableHTTP2 = false
		s.TLS.NextProtos = []string{}
	})
	c := HTTP{URL: s.URL, Codes: codes(t, "200"), HTTP2: "require", TLS: TLS{CA: ca}}
	sameError(t, c.Check(within(t)), "GET ADDR: the server does not offer HTTP/2", s.URL)

	clear := httptest.NewServer(http.HandlerFunc(website))
	t.Cleanup(clear.Close)
	if err := (&HTTP{URL: clear.URL, Codes: codes(t, "200"), HTTP2: "require"}).Check(within(t)); err == nil {
		t.Error("a server without HTTP/2 is fit")
	}
}

// TestHTTPFresh proves that no connection is used twice.
func TestHTTPFresh(t *testing.T) {
	from := make(chan string, 2)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from <- r.RemoteAddr }))
	t.Cleanup(s.Close)
	c := HTTP{URL: s.URL, Codes: codes(t, "200")}
	for range 2 {
		if err := c.Check(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := <-from, <-from; a == b {
		t.Errorf("both requests came from %s", a)
	}
}

// TestHTTPFloods proves that endless headers end the check.
func TestHTTPFloods(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(c, "A: "+strings.Repeat("a", 1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	c := HTTP{URL: "http://" + addr, Codes: codes(t, "200")}
	if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), "server response headers exceeded 65536 bytes; aborted") {
		t.Errorf("got %v", err)
	}
}

func TestHTTPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		http HTTP
		err  string
	}{
		"good":         {http: HTTP{URL: "https://[2001:db8::1]:8443/x?y=z", Method: "PROPFIND", Headers: map[string]string{"x-a": "b c"}, TLS: TLS{ServerName: "a"}}},
		"relative":     {http: HTTP{URL: "/healthz"}, err: `url: "/healthz" does not begin with http:// or https://`},
		"no scheme":    {http: HTTP{URL: "localhost:80"}, err: `url: "localhost:80" does not begin with http:// or https://`},
		"scheme":       {http: HTTP{URL: "ftp://me:secret@a/"}, err: `url: "ftp://me:xxxxx@a/" does not begin with http:// or https://`},
		"no host":      {http: HTTP{URL: "http:///x"}, err: `url: "http:///x" names no host`},
		"not a url":    {http: HTTP{URL: "http://me:secret@a:b/"}, err: `url: invalid port ":b" after host`},
		"port":         {http: HTTP{URL: "http://a:99999/"}, err: `url: "99999" is no port from 1 to 65535`},
		"no address":   {http: HTTP{URL: "http://192.0.2.530:80/"}, err: `url: "192.0.2.530" is no address`},
		"method":       {http: HTTP{URL: "http://a", Method: "GE T"}, err: `method: "GE T" is no HTTP method`},
		"header name":  {http: HTTP{URL: "http://a", Headers: map[string]string{"a:": "b"}}, err: `headers: "a:" is no header name`},
		"header value": {http: HTTP{URL: "http://a", Headers: map[string]string{"a": "b\r\nc: d"}}, err: `headers: the value of a has a line break or a NUL`},
		"tls unused":   {http: HTTP{URL: "http://a", TLS: TLS{CA: "/x"}}, err: `tls: only for an https url`},
		"cert alone":   {http: HTTP{URL: "https://a", TLS: TLS{Key: "/x"}}, err: `tls: cert and key go together, only one is set`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.http.Validate(), tt.err, "") })
	}
}
