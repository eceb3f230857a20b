package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "grpc",
		Doc: "Asks a gRPC server for the health of a service, by the protocol of gRPC for it (`grpc.health.v1.Health/Check`). " +
			"It has to answer SERVING.",
		Example: "address: 127.0.0.1:50051\nservice: example.v1.Orders\n",
		New:     func() Checker { return &GRPC{kept: new(kept)} },
		AtOnce:  stopsListening,
	})
}

// GRPC is fit when a server says that a service is serving.
type GRPC struct {
	Address   string `config:"address" required:"true" doc:"Host and port to connect to, as in '127.0.0.1:50051' or '[::1]:50051'."`
	Transport string `config:"transport" default:"tcp" enum:"tcp|tls" doc:"HTTP/2 over plain TCP, or over TLS."`
	Service   string `config:"service" doc:"Service to ask for, as in 'example.v1.Orders'. Without it the health of the server as a whole is asked for."`
	Authority string `config:"authority" doc:"Name of the server in the request, instead of 'address'; in TLS that is 'tls.server_name'."`
	Reuse     bool   `config:"reuse" doc:"Keep the connection for the next run, as far as the server does. This costs both sides less, above all with TLS. After a failure, when the service stops listening on this host, and after a minute in any case, the next run makes a new one. Until then it is not seen what only a new connection shows: another address of a name, a certificate that has run out, a server that accepts nobody any more. Where a kept connection ends instead of bringing the answer, the call is made again over a new one. One that stays silent, as behind a firewall that forgets it, takes the whole timeout and fails."`
	TLS       TLS    `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`

	kept *kept // nil: it keeps none
}

func (g *GRPC) at() endpoint { return endpoint{g.Address, g.Transport, g.TLS} }

// Validate implements Validator.
func (g *GRPC) Validate() error {
	if err := validAddress(g.Address, "50051"); err != nil {
		return err
	}
	if strings.ContainsFunc(g.Authority, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return fmt.Errorf("authority: %q is no name of a server", g.Authority)
	}
	return g.at().validate()
}

// Target implements Aimed.
func (g *GRPC) Target() netip.Addr { return g.at().target() }

// Host implements Hosted.
func (g *GRPC) Host() func() ([]string, error) { return g.at().host("") }

// Check implements Checker.
func (g *GRPC) Check(ctx context.Context) error {
	ctx, end := withRun(ctx)
	defer end()
	if err := g.kept.after(g.ask(ctx)); err != nil {
		return fmt.Errorf("%s: %s: %w", g.Address, g.what(), err)
	}
	return nil
}

// what returns what is asked for, in words.
func (g *GRPC) what() string {
	if g.Service == "" {
		return "health of the server"
	}
	return "health of " + g.Service
}

func (g *GRPC) ask(ctx context.Context) error {
	scheme := "http"
	if g.Transport == "tls" {
		scheme = "https"
	}
	to := url.URL{Scheme: scheme, Host: g.Address, Path: "/grpc.health.v1.Health/Check"}
	sent := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sight(ctx).waits("the answer") }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, sent), http.MethodPost, to.String(), bytes.NewReader(healthRequest(g.Service)))
	if err != nil {
		return err
	}
	req.Host = cmp.Or(g.Authority, g.Address)
	req.Header.Set("User-Agent", "keepcast")
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	w := wire{tls: g.TLS, http2: "require", via: func(address string) string { return address }}
	resp, err := g.kept.over(w, g.Reuse).RoundTrip(req)
	if err != nil {
		return notHTTP2(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", explain(ctx, err))
	}
	if err := called(resp, body); err != nil {
		return err
	}
	status, err := healthResponse(body)
	if err != nil {
		return err
	}
	sight(ctx).saw("answer", "%s", servingStatus(status))
	if status != serving {
		return fmt.Errorf("got %s, expected SERVING", servingStatus(status))
	}
	return nil
}

// notHTTP2 words an error of a call. The library has several for a connection that ends, or has
// something else to say, while HTTP/2 begins; which one comes is a race.
func notHTTP2(ctx context.Context, err error) error {
	if ctx.Err() == nil && !health.IsVoid(err) && (strings.HasPrefix(err.Error(), "http2:") || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return errors.New("the server does not speak HTTP/2, or closed the connection")
	}
	return explain(ctx, err)
}

// healthRequest returns a HealthCheckRequest, framed: not compressed, its length, the message.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// called says why a call did not come to an answer. gRPC tells in the trailer, which is the
// header where there is no answer at all.
func called(resp *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/grpc" && !strings.HasPrefix(kind, "application/grpc+") {
		return fmt.Errorf("the answer is not of gRPC: got %s with %s: %s", resp.Status, excerpt([]byte(kind)), excerpt(body))
	}
	status, message := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if status == "" {
		status, message = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch status {
	case "0":
		return nil
	case "":
		return errors.New("the answer is not of gRPC: it ends without a status")
	}
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return fmt.Errorf("%s: %s", statusWords(status), excerpt([]byte(message)))
}

// statusWords says what a status of gRPC means for an operator
// (https://grpc.io/docs/guides/status-codes/).
func statusWords(status string) string {
	switch status {
	case "1":
		return "CANCELLED, the server gave the call up"
	case "4":
		return "DEADLINE_EXCEEDED, the server took too long by itself"
	case "5":
		return "NOT_FOUND, the server knows no such service"
	case "7":
		return "PERMISSION_DENIED, the server answers others"
	case "8":
		return "RESOURCE_EXHAUSTED, the server has no room for the call"
	case "12":
		return "UNIMPLEMENTED, the server does not have the health protocol of gRPC"
	case "13":
		return "INTERNAL, the server is broken"
	case "14":
		return "UNAVAILABLE, the server takes no calls"
	case "16":
		return "UNAUTHENTICATED, the server wants to know who asks"
	}
	return "status " + excerpt([]byte(status))
}

// serving is the one good ServingStatus.
const serving = 1

// servingStatus names a ServingStatus of grpc.health.v1.
func servingStatus(n uint64) string {
	names := []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN (the server knows no such service)"}
	if n < uint64(len(names)) {
		return names[n]
	}
	return "status " + strconv.FormatUint(n, 10)
}

// healthResponse reads the status from a framed HealthCheckResponse.
func healthResponse(body []byte) (status uint64, err error) {
	const head = 5
	if len(body) < head || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-head) {
		return 0, fmt.Errorf("the answer is not one message of gRPC: %s", excerpt(body))
	}
	for rest := body[head:]; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return 0, fmt.Errorf("reading the answer: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
		if number == 1 && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(rest)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, rest)
		}
		if n < 0 {
			return 0, fmt.Errorf("reading the answer: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
	}
	return status, nil
}
