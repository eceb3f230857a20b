package checks

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func init() {
	register(Kind{
		Name: "http",
		Doc: "Sends an HTTP request, over a new connection unless told, and looks at the status code and the body of the response. " +
			"No proxy is used, and redirects are not followed unless told.",
		Example: "url: http://127.0.0.1:8080/healthz\n",
		New:     func() Checker { return &HTTP{kept: new(kept)} },
		AtOnce:  stopsListening,
	})
}

// HTTP is fit when the response to one request has an expected code and, if
// asked for, an expected body.
type HTTP struct {
	URL       string            `config:"url" required:"true" doc:"What to ask for, http or https. A user and password in it are sent as basic authentication. Neither the password nor the query is shown in errors."`
	Method    string            `config:"method" default:"GET" doc:"Request method."`
	Headers   map[string]string `config:"headers" doc:"Request headers. 'host' replaces the name of the URL in the request, not in TLS."`
	Send      string            `config:"send" doc:"Request body."`
	Codes     Codes             `config:"codes" default:"2xx" doc:"Codes of a fit service: a list with commas of codes, ranges and classes, as in '2xx, 301, 400-404'."`
	Body      *regexp.Regexp    `config:"body" doc:"Regular expression that must match somewhere in the first 256 KiB of the response body."`
	Redirects bool              `config:"follow_redirects" doc:"Follow up to ten redirects and judge the last response."`
	Connect   netip.AddrPort    `config:"connect" doc:"Address and port to connect to, instead of those of the URL; the request and TLS still name the host of the URL."`
	HTTP2     string            `config:"http2" default:"auto" enum:"auto|require|never" doc:"HTTP/2: 'auto' where TLS negotiates it, 'require' fails without (and speaks it at once where there is no TLS), 'never' speaks HTTP/1.1."`
	Reuse     bool              `config:"reuse" doc:"Keep the connection for the next run, as far as the server does. This costs both sides less, above all with TLS. After a failure, when the service stops listening on this host, and after a minute in any case, the next run makes a new one. Until then it is not seen what only a new connection shows: another address of a name, a certificate that has run out, a server that accepts nobody any more. Not for long answers, nor for an interval of a minute or more. Only for GET, HEAD and OPTIONS: others can't be sent again when the server ends the connection at that moment."`
	TLS       TLS               `config:"tls" doc:"How to speak TLS, for an https URL."`

	kept *kept // nil: it keeps none
}

// maxBody is how much of a response is searched.
const maxBody = 256 << 10

// Validate implements Validator.
func (h *HTTP) Validate() error {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", errors.Unwrap(err)) // the outer one may show a password
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("url: %q does not begin with http:// or https://", safeURL(u))
	case u.Hostname() == "":
		return fmt.Errorf("url: %q names no host", safeURL(u))
	case h.Reuse && !slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions}, h.Method):
		return fmt.Errorf("reuse: only for the methods GET, HEAD and OPTIONS, and this is %s", h.Method)
	case u.Scheme == "http" && !h.Redirects && h.TLS.isSet():
		return errors.New("tls: only for an https url")
	}
	if err := cmp.Or(validHost(u.Hostname()), validPort(cmp.Or(u.Port(), "80"))); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if h.Method != "" && !isToken(h.Method) {
		return fmt.Errorf("method: %q is no HTTP method", h.Method)
	}
	for name, value := range h.Headers {
		if !isToken(name) {
			return fmt.Errorf("headers: %q is no header name", name)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return fmt.Errorf("headers: the value of %s has a line break or a NUL", name)
		}
	}
	return h.TLS.Validate()
}

// isToken reports whether s is a token as RFC 9110 section 5.6.2 has it.
func isToken(s string) bool {
	const letters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.Trim(strings.ToLower(s), letters) == ""
}

// Target implements Aimed.
func (h *HTTP) Target() netip.Addr {
	if h.Connect.IsValid() {
		return h.Connect.Addr().Unmap()
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return netip.Addr{}
	}
	return literal(u.Hostname())
}

// Host implements Hosted.
func (h *HTTP) Host() func() ([]string, error) { return h.TLS.host() }

// Check implements Checker.
func (h *HTTP) Check(ctx context.Context) error {
	return h.kept.after(h.ask(ctx, h.judge))
}

// ask sends the request and hands the response to judge.
func (h *HTTP) ask(ctx context.Context, judge func(context.Context, *http.Response, *http.Request) error) error {
	ctx, end := withRun(ctx)
	defer end()
	req, err := http.NewRequestWithContext(ctx, h.Method, h.URL, strings.NewReader(h.Send))
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "keepcast")
	for name, value := range h.Headers {
		req.Header.Set(name, value)
	}
	req.Host = cmp.Or(req.Header.Get("Host"), req.Host)
	w := wire{tls: h.TLS, http2: h.HTTP2, via: h.via(req.URL)}
	client := &http.Client{Transport: h.kept.over(w, h.Reuse)}
	watching := watched{client.Transport, sight(ctx), nil}
	if watching.sight != nil {
		watching.hide = secrets(req)
		client.Transport = watching
	}
	if !h.Redirects {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := client.Do(req)
	if err != nil {
		return requestError(ctx, req.Method, err)
	}
	defer closeWith(ctx, resp.Body)() // for a kept connection does not end with the run
	if watching.sight != nil {
		body := &tapped{ReadCloser: resp.Body}
		resp.Body = body
		defer watching.sawBody(body) // before it is closed
	}
	if err := judge(ctx, resp, req); err != nil {
		return fmt.Errorf("%s %s: %w", resp.Request.Method, safeURL(resp.Request.URL), err)
	}
	if h.Reuse {
		finish(resp)
	}
	return nil
}

// judge says what is wrong with a response. In what it quotes of that it hides the secrets
// of the request.
func (h *HTTP) judge(ctx context.Context, resp *http.Response, req *http.Request) error {
	if !h.Codes.Has(resp.StatusCode) {
		hide := secrets(req)
		var detail string
		if to := resp.Header.Get("Location"); to != "" {
			detail = " (to " + hide.Replace(safeText(to)) + ")"
		}
		// The body only helps to understand the code: a broken one changes nothing.
		if body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10)); len(body) > 0 {
			detail += ": " + excerpt([]byte(hide.Replace(string(body))))
		}
		return fmt.Errorf("got %s, expected %s%s", hide.Replace(resp.Status), h.Codes, detail)
	}
	if h.Body == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("reading body: %w", explain(ctx, err))
	}
	if !h.Body.Match(body) {
		return fmt.Errorf("no match for '%s' in the body %s", h.Body, excerpt([]byte(secrets(req).Replace(string(body)))))
	}
	return nil
}

// via returns where a connection to an address goes. The host of the URL is
// reached through h.Connect, on another port too if a redirect leads there.
func (h *HTTP) via(u *url.URL) func(address string) string {
	return func(address string) string {
		host, port, err := net.SplitHostPort(address)
		if err != nil || !h.Connect.IsValid() || host != u.Hostname() {
			return address
		}
		if port == urlPort(u) {
			return h.Connect.String()
		}
		return net.JoinHostPort(h.Connect.Addr().String(), port)
	}
}

// urlPort returns the port of a URL, also where that goes without saying.
func urlPort(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// requestError words the error of an HTTP client, which names the request.
func requestError(ctx context.Context, method string, err error) error {
	of, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	why := explain(ctx, of.Err)
	if strings.HasPrefix(why.Error(), "failed to parse Location header") { // and shows it
		why = errors.New("redirected to what is no URL")
	}
	return fmt.Errorf("%s %s: %w", method, safeText(of.URL), why)
}

// wire is how HTTP is spoken, for the checks http, grpc, metrics and dns (over https).
type wire struct {
	tls   TLS
	http2 string
	via   func(address string) string
	keep  func(net.Conn) // is told of each connection, which is for later runs, too; nil: for this run alone
}

// transport returns a transport for requests with a context of withRun. Unless it is to keep
// connections, every run sees what a new client would, and they end with that context:
// net/http lets a connection attempt, and an HTTP/2 connection, outlive the request.
func (w wire) transport() *http.Transport {
	offer, allow := []string{"h2", "http/1.1"}, new(http.Protocols)
	allow.SetHTTP1(w.http2 != "require")
	allow.SetHTTP2(w.http2 != "never")
	allow.SetUnencryptedHTTP2(w.http2 == "require")
	switch w.http2 {
	case "require":
		offer = offer[:1]
	case "never":
		offer = offer[1:]
	}
	return &http.Transport{
		Protocols:              allow,
		DisableKeepAlives:      w.keep == nil,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         2 << 10, // half of what net/http takes by itself, and most answers fit
		WriteBufferSize:        1 << 10,
		DialContext: func(dialing context.Context, network, address string) (net.Conn, error) {
			return w.dial(runOf(dialing), network, address, nil)
		},
		DialTLSContext: func(dialing context.Context, network, address string) (net.Conn, error) {
			secure, err := w.tls.configFor(address, offer...)
			if err != nil {
				return nil, err
			}
			conn, err := w.dial(runOf(dialing), network, address, secure)
			if err != nil {
				return nil, err
			}
			if c, ok := conn.(*tls.Conn); ok && w.http2 == "require" && c.ConnectionState().NegotiatedProtocol != "h2" {
				conn.Close()
				return nil, errors.New("the server does not offer HTTP/2")
			}
			return conn, nil
		},
	}
}

func (w wire) dial(ctx context.Context, network, address string, secure *tls.Config) (net.Conn, error) {
	conn, err := connect(ctx, network, w.via(address), secure)
	switch {
	case err != nil:
	case w.keep != nil:
		w.keep(conn)
	default:
		context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, err
}
