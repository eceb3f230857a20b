package checks

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// healthServer is a server of the health protocol of gRPC, over HTTP/2: what it says of each
// service. The one of grpc-go would raise other modules of keepcast.
type healthServer map[string]uint64

func (h healthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	ends := func(status, message string) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
	}
	body, err := io.ReadAll(r.Body)
	if r.ProtoMajor != 2 || r.Method != http.MethodPost || r.URL.Path != "/grpc.health.v1.Health/Check" ||
		r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || err != nil || len(body) < 5 {
		ends("3", "no such request")
		return
	}
	service := ""
	if message := body[5:]; len(message) > 0 {
		_, _, n := protowire.ConsumeTag(message)
		service, _ = protowire.ConsumeString(message[n:])
	}
	status, ok := h[service]
	if !ok { // as grpc-go has it
		ends("5", "unknown service")
		return
	}
	w.Write(framed(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), status)))
	ends("0", "")
}

// framed frames a message.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// plainServer serves HTTP/2 without TLS, and returns its address.
func plainServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// hears returns a handler that answers as a gRPC server does, with a status in the header or
// none, and a body.
func hears(status, message, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto")
		if status != "" {
			w.Header().Set("Grpc-Status", status)
			w.Header().Set("Grpc-Message", message)
		}
		io.WriteString(w, body)
	})
}

func TestGRPC(t *testing.T) {
	noLeaks(t)
	services := healthServer{"": serving, "up": serving, "down": 2, "unknown": 0, "gone": 3, "new": 7, "zero": 0}
	all := plainServer(t, services)
	secure, ca := secureServer(t, services, nil)
	old, oldCA := secureServer(t, services, func(s *httptest.Server) { s.EnableHTTP2 = false })
	over := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	named := plainServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "orders.example.com" {
			t.Errorf("asked as %s", r.Host)
		}
		services.ServeHTTP(w, r)
	}))
	for name, tt := range map[string]struct {
		at   string
		grpc GRPC
		err  string
	}{
		"server":      {at: all},
		"service":     {at: all, grpc: GRPC{Service: "up"}},
		"tls":         {at: over(secure), grpc: GRPC{Service: "up", Transport: "tls", TLS: TLS{CA: ca}}},
		"authority":   {at: named, grpc: GRPC{Authority: "orders.example.com"}},
		"not serving": {at: all, grpc: GRPC{Service: "down"}, err: "ADDR: health of down: got NOT_SERVING, expected SERVING"},
		"unknown":     {at: all, grpc: GRPC{Service: "unknown"}, err: "ADDR: health of unknown: got UNKNOWN, expected SERVING"},
		"gone":        {at: all, grpc: GRPC{Service: "gone"}, err: "ADDR: health of gone: got SERVICE_UNKNOWN (the server knows no such service), expected SERVING"},
		"new status":  {at: all, grpc: GRPC{Service: "new"}, err: "ADDR: health of new: got status 7, expected SERVING"},
		"not found":   {at: all, grpc: GRPC{Service: "none"}, err: `ADDR: health of none: NOT_FOUND, the server knows no such service: "unknown service"`},
		"untrusted":   {at: over(secure), grpc: GRPC{Transport: "tls"}, err: "ADDR: health of the server: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust"},
		"tls without HTTP/2": {
			at: over(old), grpc: GRPC{Transport: "tls", TLS: TLS{CA: oldCA}},
			err: "ADDR: health of the server: tls handshake: remote error: tls: no application protocol",
		},
		"tcp without HTTP/2": {at: listen(t, replies("HTTP/1.1 400 Bad Request\r\n\r\n")), err: "ADDR: health of the server: the server does not speak HTTP/2, or closed the connection"},
		"no health":          {at: plainServer(t, hears("12", "unknown service grpc.health.v1.Health", "")), err: `ADDR: health of the server: UNIMPLEMENTED, the server does not have the health protocol of gRPC: "unknown service grpc.health.v1.Health"`},
		"escaped":            {at: plainServer(t, hears("14", "a%20b%", "")), err: `ADDR: health of the server: UNAVAILABLE, the server takes no calls: "a%20b%"`},
		"unescaped":          {at: plainServer(t, hears("16", "who%3F", "")), err: `ADDR: health of the server: UNAUTHENTICATED, the server wants to know who asks: "who?"`},
		"new code":           {at: plainServer(t, hears("99", "", "")), err: `ADDR: health of the server: status "99": ""`},
		"no status":          {at: plainServer(t, hears("", "", string(framed(nil)))), err: "ADDR: health of the server: the answer is not of gRPC: it ends without a status"},
		"empty message":      {at: plainServer(t, hears("0", "", string(framed(nil)))), err: "ADDR: health of the server: got UNKNOWN, expected SERVING"},
		"no message":         {at: plainServer(t, hears("0", "", "")), err: `ADDR: health of the server: the answer is not one message of gRPC: ""`},
		"compressed":         {at: plainServer(t, hears("0", "", "\x01\x00\x00\x00\x00")), err: `ADDR: health of the server: the answer is not one message of gRPC: "\x01\x00\x00\x00\x00"`},
		"broken message":     {at: plainServer(t, hears("0", "", string(framed([]byte{0x08})))), err: "ADDR: health of the server: reading the answer: unexpected EOF"},
		"broken tag":         {at: plainServer(t, hears("0", "", string(framed([]byte{0x80})))), err: "ADDR: health of the server: reading the answer: unexpected EOF"},
		"more fields":        {at: plainServer(t, hears("0", "", string(framed([]byte("\x12\x01a\x08\x01\x1d1234")))))},
		"web":                {at: plainServer(t, http.NotFoundHandler()), err: `ADDR: health of the server: the answer is not of gRPC: got 404 Not Found with "text/plain": "404 page not found"`},
		"web, with 200":      {at: plainServer(t, http.HandlerFunc(website)), err: `ADDR: health of the server: the answer is not of gRPC: got 200 OK with "": ""`},
		"hangs":              {at: listen(t, func(net.Conn) {}), err: "ADDR: health of the server: timed out"},
		"closes":             {at: listen(t, says("")), err: "ADDR: health of the server: the server does not speak HTTP/2, or closed the connection"},
		"mail":               {at: listen(t, says("220 mail\r\n")), err: "ADDR: health of the server: the server does not speak HTTP/2, or closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.grpc.Address = tt.at
			checkOf(t, &tt.grpc, tt.err, tt.at)
		})
	}
	closed := freeAddress(t)
	checkOf(t, &GRPC{Address: closed}, "ADDR: health of the server: dial tcp ADDR: connect: connection refused", closed)
}

// A server that takes the call and never answers.
func TestGRPCHalfDead(t *testing.T) {
	noLeaks(t)
	at := plainServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	var s Sight
	err := (&GRPC{Address: at}).Check(WithSight(shortly(t), &s))
	sameError(t, err, "ADDR: health of the server: timed out", at)
	if _, awaits := s.Seen(); awaits != "the answer" {
		t.Errorf("waits for %q", awaits)
	}
}

func TestGRPCSight(t *testing.T) {
	var s Sight
	if err := (&GRPC{Address: plainServer(t, healthServer{"": serving})}).Check(WithSight(within(t), &s)); err != nil {
		t.Error(err)
	}
	sameSight(t, &s, "answer: SERVING")
}

func TestGRPCValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		grpc GRPC
		err  string
	}{
		"good":      {grpc: GRPC{Address: "127.0.0.1:1", Service: "a", Authority: "a.example.com:80"}},
		"address":   {grpc: GRPC{Address: "a"}, err: `address: "a" is not a host and a port, as in 127.0.0.1:50051 or [::1]:50051`},
		"socket":    {grpc: GRPC{Address: "/run/x"}, err: `address: "/run/x" is not a host and a port, as in 127.0.0.1:50051 or [::1]:50051`},
		"authority": {grpc: GRPC{Address: "127.0.0.1:1", Authority: "a b"}, err: `authority: "a b" is no name of a server`},
		"a URL":     {grpc: GRPC{Address: "127.0.0.1:1", Authority: "http://a"}, err: `authority: "http://a" is no name of a server`},
		"tls":       {grpc: GRPC{Address: "127.0.0.1:1", TLS: TLS{CA: "/x"}}, err: "tls: only with transport: tls"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.grpc.Validate(), tt.err, "") })
	}
}

// FuzzHealthResponse looks for an answer that is taken for SERVING and does not say so.
func FuzzHealthResponse(f *testing.F) {
	for _, seed := range []string{"\x08\x01", "\x12\x01a\x08\x01\x1d1234", "\x08", "\x0b\x0c"} {
		f.Add([]byte(seed), framed([]byte(seed)))
	}
	f.Fuzz(func(t *testing.T, message, body []byte) {
		for _, said := range [][]byte{framed(message), body} {
			if status, err := healthResponse(said); err == nil && status == serving && !strings.Contains(string(said), "\x08") && !strings.Contains(string(said), "\x88") {
				t.Errorf("%q is SERVING", said)
			}
		}
	})
}
