package checks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
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
// repeating them, as pages for debugging do: as they are, or as text in HTML, JSON or a URL.
func secrets(req *http.Request) *strings.Replacer {
	var pairs []string
	hide := func(values ...string) {
		for _, v := range values {
			for _, form := range forms(v) {
				if len(form) >= leastSecret {
					pairs = append(pairs, form, masked)
				}
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
	hide(formValues(req.URL.RawQuery)...)
	for name, values := range req.Header {
		if name == "Host" || name == "User-Agent" {
			continue
		}
		for _, value := range values {
			hide(parts(value)...)
		}
	}
	if sent := bodyOf(req); sent != "" {
		hide(sent)
		hide(formValues(sent)...)
	}
	return strings.NewReplacer(pairs...)
}

// forms are the ways in which a text is written where not all letters may stand as they are.
func forms(text string) []string {
	all := []string{
		text, strings.TrimRight(text, "="), // base64 without its padding
		html.EscapeString(text), strings.ReplaceAll(html.EscapeString(text), "&#34;", "&quot;"),
		inJSON(text), strings.ReplaceAll(inJSON(text), "/", `\/`), strings.Trim(strconv.QuoteToASCII(text), `"`),
	}
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text)} {
		all = append(all, escaped, smallHex(escaped))
	}
	return all
}

// smallHex is a text of a URL with the small digits of hexadecimal numbers.
func smallHex(escaped string) string {
	out := []byte(escaped)
	for i := range out {
		if out[i] == '%' && i+2 < len(out) {
			copy(out[i+1:], bytes.ToLower(out[i+1:i+3]))
		}
	}
	return string(out)
}

// parts are the secrets that the value of a header may have: itself first, what follows the
// first word of it, as in "Bearer TOKEN", in the open if that is basic authentication, and
// the values of a list, as in "session=TOKEN; theme=dark".
func parts(value string) []string {
	_, credentials, _ := strings.Cut(value, " ")
	all := []string{value, credentials}
	if pair, err := base64.StdEncoding.DecodeString(credentials); err == nil && len(pair) > 0 {
		_, password, _ := strings.Cut(string(pair), ":")
		all = append(all, string(pair), password)
	}
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ;,", r) }) {
		if _, v, named := strings.Cut(part, "="); named {
			all = append(all, strings.Trim(v, `"`))
		}
	}
	return all
}

// formValues are the values of a query or a form, as they are and in the open.
func formValues(form string) (all []string) {
	for part := range strings.SplitSeq(form, "&") {
		name, value, isValue := strings.Cut(part, "=")
		if !isValue {
			value = name
		}
		all = append(all, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			all = append(all, plain)
		}
	}
	return all
}

// bodyOf is what a request sends; nothing, if that is not at hand.
func bodyOf(req *http.Request) string {
	if req.GetBody == nil {
		return ""
	}
	body, err := req.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	sent, err := io.ReadAll(body)
	if err != nil {
		return ""
	}
	return string(sent)
}

// inJSON is a text as a string of JSON has it.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted[1 : len(quoted)-1])
}
