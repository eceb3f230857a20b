package checks

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// masked stands for what is not shown, as in URL.Redacted.
const masked = "xxxxx"

// safeURL returns a URL as it may be shown: status, log and /v1/status are read by others
// than the configuration. A password, a user without one, and what is asked for, which may
// be a token, are left out.
func safeURL(u *url.URL) string {
	shown := *u
	shown.Fragment, shown.RawFragment = "", ""
	if shown.RawQuery != "" {
		shown.RawQuery = "..."
	}
	if _, both := u.User.Password(); u.User != nil && !both {
		shown.User = url.User(masked)
	}
	return shown.Redacted()
}

// safeText is safeURL of a text. One that is no URL is not shown.
func safeText(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL that is none"
	}
	return safeURL(u)
}

// leastSecret is the length of the shortest value that is taken for a secret where a
// server repeats it. Shorter ones, as in ?v=1, are part of any text.
const leastSecret = 4

// secrets are the values of a request that a server must not have shown in an error by
// repeating them, as pages for debugging do.
func secrets(req *http.Request) *strings.Replacer {
	var pairs []string
	hide := func(values ...string) {
		for _, v := range values {
			if len(v) >= leastSecret {
				pairs = append(pairs, v, masked)
			}
		}
	}
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		pair := u.Username() + ":" + password
		hide(base64.StdEncoding.EncodeToString([]byte(pair)), pair, password)
		if password == "" {
			hide(u.Username())
		}
	}
	for part := range strings.SplitSeq(req.URL.RawQuery, "&") {
		name, value, isValue := strings.Cut(part, "=")
		if !isValue {
			value = name
		}
		hide(value)
		if plain, err := url.QueryUnescape(value); err == nil {
			hide(plain)
		}
	}
	for name, values := range req.Header {
		if name == "Host" || name == "User-Agent" {
			continue
		}
		for _, value := range values {
			_, credentials, _ := strings.Cut(value, " ") // of "Bearer credentials"
			hide(value, credentials)
		}
	}
	return strings.NewReplacer(pairs...)
}
