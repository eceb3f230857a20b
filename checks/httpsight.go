package checks

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// onceSent returns the request with a note to be made once it was sent, and what makes it
// if that was not told by then: an answer may come before the library says so.
func (s *Sight) onceSent(req *http.Request, note func()) (_ *http.Request, sent func()) {
	note = sync.OnceFunc(note)
	trace := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		if i.Err == nil {
			note()
		}
	}}
	return req.WithContext(httptrace.WithClientTrace(req.Context(), trace)), note
}

// watched notes each request of a check, and what comes back, redirects included. What the
// server repeats of the secrets of the first request is hidden.
type watched struct {
	http.RoundTripper
	sight *Sight
	hide  *strings.Replacer
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	as := ""
	if req.Host != "" && req.Host != req.URL.Host {
		as = " as " + req.Host
	}
	req, sent := w.sight.onceSent(req, func() {
		w.sight.saw("request", "%s %s%s", req.Method, safeURL(req.URL), as)
		w.sight.waits("a response")
	})
	resp, err := w.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	sent()
	w.sight.saw("response", "%s %s", resp.Proto, w.hide.Replace(resp.Status))
	for _, name := range []string{"Server", "Content-Type", "Content-Length", "Location", "Retry-After"} {
		if value := resp.Header.Get(name); value != "" {
			if name == "Location" {
				value = safeText(value)
			}
			w.sight.saw("header", "%s: %s", strings.ToLower(name), w.hide.Replace(value))
		}
	}
	return resp, nil
}

// tapped is the body of a response of which the start is kept.
type tapped struct {
	io.ReadCloser
	kept head
	size int
	end  error // of reading it; nil: it was not read to its end
}

// Read implements io.Reader.
func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	_, _ = t.kept.Write(p[:n]) // it refuses nothing
	t.size, t.end = t.size+n, err
	return n, err
}

// sawBody notes what the check has read of the body. Where it did not need to look, its
// start is read for the one who asks.
func (w watched) sawBody(t *tapped) {
	if t.size == 0 && t.end == nil {
		w.sight.waits("the body, which the check itself does not read")
		_, _ = io.CopyN(io.Discard, t, maxOutput) // what it ends with is noted
	}
	said := ""
	if body := bytes.TrimSpace(t.kept.kept.Bytes()); len(body) > 0 {
		said = ": " + excerpt([]byte(w.hide.Replace(string(body))))
	}
	switch {
	case t.end == nil:
		w.sight.saw("body", "the first %d bytes%s", t.size, said)
	case errors.Is(t.end, io.EOF):
		w.sight.saw("body", "%d bytes%s", t.size, said)
	default:
		w.sight.saw("body", "%d bytes, then no more%s", t.size, said)
	}
}
