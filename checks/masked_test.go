package checks

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestSafeURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/b":                      "http://a/b",
		"http://a/?token=secret":          "http://a/?...",
		"http://me:secret@a/#secret":      "http://me:xxxxx@a/",
		"http://secret@a/":                "http://xxxxx@a/",
		"/relative?token=secret#fragment": "/relative?...",
		"http://a:b/secret":               "a URL that is none",
	} {
		if got := safeText(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// A token in the URL of a check was shown in its error, and so in the status, the log and
// /v1/status, to everybody who may read these; the other secrets of a request with it,
// where a server repeats them.
func TestHTTPKeepsSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			w.WriteHeader(http.StatusForbidden)
			user, password, _ := r.BasicAuth()
			fmt.Fprintln(w, r.URL.RawQuery, r.URL.Query(), r.Header, user, password)
		case "/away":
			w.Header().Set("Location", "/echo?ticket=hush&token="+r.URL.Query().Get("token"))
			w.WriteHeader(http.StatusFound)
		case "/nowhere":
			w.Header().Set("Location", "http://[hush")
			w.WriteHeader(http.StatusFound)
		case "/hangup":
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://me:hush@" + at.Host
	headers := map[string]string{"X-Key": "hushhush"}
	basic := map[string]string{"Authorization": "Bearer hushhush"}
	for name, tt := range map[string]struct {
		check HTTP
		want  string
	}{
		"refused":  {HTTP{URL: "http://me:hush@127.0.0.1:1/?token=hush"}, "GET http://me:xxxxx@127.0.0.1:1/?...: dial tcp 127.0.0.1:1: connect: connection refused"},
		"echo":     {HTTP{URL: base + "/echo?token=hush%21", Headers: headers}, "GET http://me:xxxxx@ADDR/echo?...: got 403 Forbidden, expected 2xx: "},
		"bearer":   {HTTP{URL: s.URL + "/echo?hush", Headers: basic}, "GET http://ADDR/echo?...: got 403 Forbidden, expected 2xx: "},
		"no match": {HTTP{URL: base + "/echo?token=hush", Codes: codes(t, "403"), Body: regexp.MustCompile("^fit$")}, "GET http://me:xxxxx@ADDR/echo?...: no match for '^fit$' in the body "},
		"location": {HTTP{URL: base + "/away?token=hush"}, "GET http://me:xxxxx@ADDR/away?...: got 302 Found, expected 2xx (to /echo?...)"},
		"follows":  {HTTP{URL: base + "/away?token=hush", Redirects: true}, "GET http://me:xxxxx@ADDR/echo?...: got 403 Forbidden, expected 2xx: "},
		"no url":   {HTTP{URL: base + "/nowhere?token=hush", Redirects: true}, "GET http://me:xxxxx@ADDR/nowhere?...: redirected to what is no URL"},
		"hangs up": {HTTP{URL: base + "/hangup?token=hush"}, "GET http://me:xxxxx@ADDR/hangup?...: closed by the other side"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.check.Codes.String() == "" {
				tt.check.Codes = codes(t, "2xx")
			}
			err := tt.check.Check(within(t))
			if err == nil {
				t.Fatal("the check is fit")
			}
			text := strings.ReplaceAll(err.Error(), at.Host, "ADDR")
			if !strings.HasPrefix(text, tt.want) {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
			if strings.Contains(text, "hush") || strings.Contains(text, "bWU6aHVzaA") {
				t.Errorf("a secret is shown: %s", text)
			}
		})
	}
}

// What a server repeats of a request in part, or in other words.
func TestSecretsInPart(t *testing.T) {
	req, err := http.NewRequest(http.MethodPost, "http://a/?token=hush%20one", strings.NewReader("user=me&password=hush%2Btwo"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Cookie": "session=hushthree; theme=dark", "Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("me:hush four")),
		"X-Token": "Token token=\"hushfive\"", "X-Key": `hush"<six>&`, "X-Seal": "hush/se+v=en==", "X-Mark": "hush\u00e4six",
	} {
		req.Header.Set(name, value)
	}
	hide := secrets(req)
	for _, said := range []string{
		"hush one", "hush%20one", "hush+one", "password=hush%2Btwo", "hush+two", "hushthree", "session=hushthree", "me:hush four", "hush four",
		"hushfive", `hush"<six>&`, `hush\"\u003csix\u003e\u0026`, "hush&#34;&lt;six&gt;&amp;", "hush%22%3Csix%3E%26",
		"hush&quot;&lt;six&gt;&amp;", `hush\/se+v=en==`, "hush%2fse%2bv%3den%3d%3d", "hush/se+v=en", `hush\u00e4six`,
	} {
		if shown := hide.Replace("you said " + said + "."); strings.Contains(shown, "hush") || strings.Contains(shown, "six") {
			t.Errorf("%s: %s", said, shown)
		}
	}
}

// A URL may carry a token, and errors are read by others than the configuration.
func TestErrorsHideSecrets(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/login?session=hush")
		w.WriteHeader(http.StatusFound)
	}))
	defer server.Close()
	at := strings.TrimPrefix(server.URL, "http://")
	for name, url := range map[string]string{
		"a redirect":      "http://me:hush@" + at + "/x?token=hush#hush",
		"nobody listens":  "http://me:hush@127.0.0.1:1/x?token=hush",
		"no such address": "http://me:hush@[::1%25nowhere]:1/x?token=hush",
	} {
		h := &HTTP{URL: url, Method: "GET", Headers: map[string]string{"Authorization": "hush"}}
		if err := h.Codes.UnmarshalText([]byte("200")); err != nil {
			t.Fatal(err)
		}
		err := h.Check(t.Context())
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "/x?...") {
			t.Errorf("%s: the path is not shown: %v", name, err)
		}
	}
	if got := safeText("http://[hush"); got != "a URL that is none" {
		t.Error(got)
	}
}
