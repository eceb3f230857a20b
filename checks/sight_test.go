package checks

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// changing are the parts of what is seen that no two runs have in common.
var changing = regexp.MustCompile(`(127\.0\.0\.1|localhost):\d+|process \d+|TLS_\w+|20\d\d-\d\d-\d\dT[0-9:]+Z`)

// sees runs a check and returns what it saw, a line each, and what it waited for. If until
// is not empty, the time of the check is over once it waits for that.
func sees(t *testing.T, c Checker, until string) (lines []string, awaits string, err error) {
	t.Helper()
	ctx, end := context.WithCancel(within(t))
	defer end()
	var s Sight
	ctx = WithSight(ctx, &s)
	ended := make(chan error, 1)
	go func() { ended <- c.Check(ctx) }()
	if until != "" {
		drivertest.Eventually(t, "for "+until, func() bool {
			_, awaits := s.Seen()
			return changing.ReplaceAllString(awaits, "*") == until
		})
		end()
	}
	err = <-ended
	seen, awaits := s.Seen()
	for _, one := range seen {
		lines = append(lines, one.What+": "+changing.ReplaceAllString(one.Text, "*"))
	}
	return lines, changing.ReplaceAllString(awaits, "*"), err
}

// wantSeen compares what a check saw with lines of text.
func wantSeen(t *testing.T, got []string, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if d := cmp.Diff(lines, got); d != "" {
		t.Error(d)
	}
}

// talks is a TCP server that reads as much as it is told, and then says something. Then
// it stays, or hangs up.
func talks(t *testing.T, reads int, says string, stays bool) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		_, _ = io.CopyN(io.Discard, conn, int64(reads))
		fmt.Fprint(conn, says)
		if stays {
			_, _ = io.Copy(io.Discard, conn)
		}
		conn.Close()
	})
}

func TestTCPSeen(t *testing.T) {
	re := regexp.MustCompile
	const connected = "connected: tcp to *, from *\n"
	for name, tt := range map[string]struct {
		reads  int
		says   string
		check  TCP
		want   string
		awaits string
	}{
		"answer":      {5, "220 hello\r\n", TCP{Send: "hush\n", Expect: re("^220 ")}, connected + "sent: 5 bytes\nanswer: 11 bytes: \"220 hello\"", ""},
		"connection":  {0, "", TCP{}, connected, ""},
		"silence":     {0, "", TCP{Expect: re("^220 ")}, connected, "an answer that matches '^220 '"},
		"half of it":  {0, "22", TCP{Expect: re("^220 ")}, connected + `answer: 2 bytes: "22"`, "more of it, to match '^220 '"},
		"no escapes":  {0, "\x1b]0;evil\a220", TCP{Expect: re("220")}, connected + `answer: 12 bytes: "\x1b]0;evil\a220"`, ""},
		"long answer": {0, strings.Repeat("a", 200) + "220", TCP{Expect: re("220")}, connected + `answer: 203 bytes: "` + strings.Repeat("a", 120) + `"...`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.check.Address = talks(t, tt.reads, tt.says, name != "half of it")
			until := tt.awaits
			if name == "half of it" {
				until = ""
			}
			got, awaits, err := sees(t, &tt.check, until)
			wantSeen(t, got, tt.want)
			if awaits != tt.awaits || (err != nil) != (tt.awaits != "") {
				t.Errorf("waits for %q, %v", awaits, err)
			}
		})
	}
}

func TestConnectionSeen(t *testing.T) {
	s, ca := secureServer(t, http.NotFoundHandler(), nil)
	got, awaits, err := sees(t, &TCP{Address: s.Listener.Addr().String(), Transport: "tls", TLS: TLS{CA: ca}}, "")
	wantSeen(t, got, `
		connected: tcp to *, from *
		tls: TLS 1.3, *
		certificate: O=Acme Co, of O=Acme Co, for example.com *.example.com 127.0.0.1 ::1, until *`)
	if awaits != "" || err != nil {
		t.Errorf("waits for %q, %v", awaits, err)
	}
	mute := talks(t, 0, "", true)
	got, awaits, err = sees(t, &TCP{Address: mute, Transport: "tls"}, "the TLS handshake")
	wantSeen(t, got, "connected: tcp to *, from *")
	if awaits != "the TLS handshake" || err == nil {
		t.Errorf("waits for %q, %v", awaits, err)
	}
	_, port, _ := net.SplitHostPort(mute)
	got, _, err = sees(t, &TCP{Address: "localhost:" + port}, "")
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], "resolved: ") || !strings.Contains(got[0], "127.0.0.1") {
		t.Errorf("got %q, %v", got, err)
	}
	got, awaits, _ = sees(t, &TCP{Address: "no.such.host.invalid:1"}, "")
	if len(got) != 0 || awaits != "the resolver of this host, for no.such.host.invalid" {
		t.Errorf("got %q, waits for %q", got, awaits)
	}
}

func TestDNSSeen(t *testing.T) {
	addr, overTLS, ca := nameServer(t)
	const connected = "connected: udp to *, from *\n"
	for name, tt := range map[string]struct {
		check  DNS
		want   string
		awaits string
	}{
		"answers": {DNS{Query: "www.example.com", NSID: regexp.MustCompile("^ams"), Recursion: true}, connected + `
			question: www.example.com. IN A rd
			reply: NOERROR rd, 114 bytes: 2 answers, 0 authority, 1 additional
			nsid: "ams1"
			answer: www.example.com. 300 IN A 192.0.2.1
			answer: www.example.com. 300 IN A 192.0.2.2`, ""},
		"truncated": {DNS{Query: "long.example.com"}, connected + `
			question: long.example.com. IN A
			reply: NOERROR tc, 34 bytes: 0 answers, 0 authority, 0 additional
			truncated: asking again over TCP
			connected: tcp to *, from *
			question: long.example.com. IN A
			reply: NOERROR, 66 bytes: 1 answers, 0 authority, 0 additional
			answer: long.example.com. 300 IN A 192.0.2.9`, ""},
		"flags": {DNS{Query: "flags.example.com", AD: true}, connected + `
			question: flags.example.com. IN A ad
			reply: NOERROR aa ad, 35 bytes: 0 answers, 0 authority, 0 additional`, ""},
		"silent": {DNS{Query: "silent.example.com"}, connected + "question: silent.example.com. IN A", "a reply"},
		"tls": {DNS{Server: overTLS, Transport: "tls", TLS: TLS{CA: ca}, Query: "empty.example.com"}, `
			connected: tcp to *, from *
			tls: TLS 1.3, *
			certificate: O=Acme Co, of O=Acme Co, for example.com *.example.com 127.0.0.1 ::1, until *
			question: empty.example.com. IN A
			reply: NOERROR, 35 bytes: 0 answers, 0 authority, 0 additional`, ""},
		"fails": {DNS{Query: "fails.example.com"}, connected + `
			question: fails.example.com. IN A
			reply: SERVFAIL: Signature Expired "since Monday", 64 bytes: 0 answers, 0 authority, 1 additional`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.check.Server == "" {
				tt.check.Server = addr
			}
			tt.check.Type, tt.check.Class, tt.check.EDNSSize = RRType(dns.TypeA), RRClass(dns.ClassINET), defaultUDPSize
			got, awaits, _ := sees(t, &tt.check, tt.awaits)
			wantSeen(t, got, tt.want)
			if awaits != tt.awaits {
				t.Errorf("waits for %q", awaits)
			}
		})
	}
}

// However many records there are, the first ones are enough.
func TestManyAnswersSeen(t *testing.T) {
	reply := new(dns.Msg)
	for i := range mostAnswers + 2 {
		rr, err := dns.NewRR(fmt.Sprintf("www.example.com. 300 IN A 192.0.2.%d", i))
		if err != nil {
			t.Fatal(err)
		}
		reply.Answer = append(reply.Answer, rr)
	}
	var s Sight
	s.sawAnswers(reply)
	seen, _ := s.Seen()
	if got := seen[len(seen)-1].Text; len(seen) != mostAnswers+1 || got != "and 2 more" {
		t.Errorf("%d seen, the last is %s", len(seen), got)
	}
}

// What a request holds of secrets is seen no more than it is told in errors, also where the
// server repeats it.
func TestHTTPSeen(t *testing.T) {
	hold := make(chan struct{})
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Server", "nginx "+r.Header.Get("X-Key"))
		switch r.URL.Path {
		case "/away":
			w.Header().Set("Location", "/echo?ticket=hush")
			w.WriteHeader(http.StatusFound)
		case "/echo":
			fmt.Fprintln(w, "token", r.Header.Get("X-Key"), "\n\x1b[2J")
		case "/large":
			fmt.Fprint(w, strings.Repeat("a", 2*maxOutput))
		case "/breaks":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "the start")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/silent":
			<-hold
		}
	})
	s := httptest.NewServer(site)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(hold) })
	headers := map[string]string{"X-Key": "hushhush"}
	const connected = "connected: tcp to *, from *\n"
	const server = "header: server: nginx xxxxx\n"
	for name, tt := range map[string]struct {
		check   HTTP
		want    string
		awaits  string
		outcome string
	}{
		"echo": {HTTP{URL: "/echo?token=hushhush", Headers: headers}, connected + `
			request: GET http://*/echo?...
			response: HTTP/1.1 200 OK
			` + server + `
			header: content-type: text/plain; charset=utf-8
			header: content-length: 21
			body: 21 bytes: "token xxxxx \n\x1b[2J"`, "", ""},
		"as another": {HTTP{URL: "/", Method: "HEAD", Headers: map[string]string{"Host": "www.example.com"}}, connected + `
			request: HEAD http://*/ as www.example.com
			response: HTTP/1.1 200 OK
			header: server: nginx
			body: 0 bytes`, "", ""},
		"redirected": {HTTP{URL: "/away", Headers: headers, Redirects: true, Body: regexp.MustCompile("token")}, connected + `
			request: GET http://*/away
			response: HTTP/1.1 302 Found
			` + server + `
			header: content-length: 0
			header: location: /echo?...
			` + connected + `
			request: GET http://*/echo?...
			response: HTTP/1.1 200 OK
			` + server + `
			header: content-type: text/plain; charset=utf-8
			header: content-length: 21
			body: 21 bytes: "token xxxxx \n\x1b[2J"`, "", ""},
		"large": {HTTP{URL: "/large"}, connected + `
			request: GET http://*/large
			response: HTTP/1.1 200 OK
			header: server: nginx
			header: content-type: text/plain; charset=utf-8
			body: the first 4096 bytes: "` + strings.Repeat("a", 120) + `"...`, "", ""},
		"breaks off": {HTTP{URL: "/breaks"}, connected + `
			request: GET http://*/breaks
			response: HTTP/1.1 200 OK
			header: server: nginx
			header: content-type: text/plain; charset=utf-8
			header: content-length: 100
			body: 9 bytes, then no more: "the start"`, "", ""},
		"silent": {HTTP{URL: "/silent?token=hushhush"}, connected + "request: GET http://*/silent?...", "a response", "timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.check.URL = s.URL + tt.check.URL
			tt.check.Codes = codes(t, "2xx")
			got, awaits, err := sees(t, &tt.check, tt.awaits)
			wantSeen(t, got, tt.want)
			if awaits != tt.awaits || (err == nil) != (tt.outcome == "") {
				t.Errorf("waits for %q, %v", awaits, err)
			}
		})
	}
}

func TestDNSOverHTTPSSeen(t *testing.T) {
	s, ca := secureServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		packed, _ := io.ReadAll(r.Body)
		query := new(dns.Msg)
		if query.Unpack(packed) != nil {
			return
		}
		packed, _ = new(dns.Msg).SetReply(query).Pack()
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(packed)
	}), nil)
	c := &DNS{Server: s.Listener.Addr().String(), Transport: "https", TLS: TLS{CA: ca}, Query: "www.example.com", Type: 1, Class: 1}
	got, awaits, err := sees(t, c, "")
	wantSeen(t, got, `
		connected: tcp to *, from *
		tls: TLS 1.3, *, h2
		certificate: O=Acme Co, of O=Acme Co, for example.com *.example.com 127.0.0.1 ::1, until *
		question: www.example.com. IN A
		reply: NOERROR, 33 bytes: 0 answers, 0 authority, 0 additional`)
	if awaits != "" || err != nil {
		t.Errorf("waits for %q, %v", awaits, err)
	}
}

func TestExecSeen(t *testing.T) {
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script + " # hush"} }
	const started = "started: /bin/sh, as *\n"
	got, awaits, err := sees(t, &Exec{Command: sh(`echo one; echo; echo two >&2; exit 3`)}, "")
	wantSeen(t, got, started+"output: \"one\"\noutput: \"two\"\nexited: exit status 3")
	if awaits != "" || err == nil {
		t.Errorf("waits for %q, %v", awaits, err)
	}
	got, _, err = sees(t, &Exec{Command: sh(`for i in 1 2 3 4 5 6 7; do echo $i; done`)}, "")
	wantSeen(t, got, started+"output: \"1\"\noutput: \"2\"\noutput: \"3\"\noutput: \"4\"\noutput: \"5\"\noutput: and 2 more lines\nexited: exit status 0")
	if err != nil {
		t.Error(err)
	}
	got, awaits, _ = sees(t, &Exec{Command: sh(`kill -KILL $$`)}, "") // by somebody else, in time
	wantSeen(t, got, started+"exited: signal: killed")
	if awaits != "" {
		t.Errorf("waits for %q", awaits)
	}
	got, awaits, _ = sees(t, &Exec{Command: sh(`exec sleep 1000`)}, "* to exit")
	wantSeen(t, got, strings.TrimSpace(started))
	if awaits != "* to exit; it was killed" {
		t.Errorf("waits for %q", awaits)
	}
}

func TestSystemdSeen(t *testing.T) {
	address, _ := drivertest.Bus(t)
	f := startSystemd(t, address)
	at := f.unit(t, "named.service", "loaded active running")
	u := fakeUnit{}
	for name, value := range map[string]any{
		"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Id": "named.service", "Description": "a server",
		"FragmentPath": "/lib/named.service", "StateChangeTimestamp": uint64(1_764_000_000_000_000),
	} {
		u[name] = dbus.MakeVariant(value)
	}
	if err := f.conn.Export(u, at, busProps); err != nil {
		t.Fatal(err)
	}
	got, awaits, err := sees(t, &Systemd{Unit: "named.service"}, "")
	wantSeen(t, got, `
		state: load loaded, active failed, sub failed
		unit: named.service
		description: a server
		file: /lib/named.service
		since: *`)
	if awaits != "" || !health.IsCertain(err) {
		t.Errorf("waits for %q, %v", awaits, err)
	}
	f.unit(t, "bare.service", "loaded active running")
	got, _, err = sees(t, &Systemd{Unit: "bare.service"}, "")
	wantSeen(t, got, "state: load loaded, active active, sub running")
	if err != nil {
		t.Error(err)
	}
	if got, awaits, _ = sees(t, &Systemd{Unit: "hangs.service"}, "systemd, on the system bus"); len(got) > 0 || awaits != "systemd, on the system bus" {
		t.Errorf("got %q, waits for %q", got, awaits)
	}
}

// A text is one line of valid UTF-8, and neither it nor their number grows without end.
func TestSeenIsBounded(t *testing.T) {
	var s Sight
	s.saw("banner", "%s", "two\r\nlines\xff")
	s.saw("banner", "%s", strings.Repeat("a", 2*mostSeenText))
	for range 2 * mostSeen {
		s.saw("banner", "x")
	}
	seen, _ := s.Seen()
	if len(seen) != mostSeen || seen[0].Text != "two lines\uFFFD" || seen[1].Text != strings.Repeat("a", mostSeenText)+"..." {
		t.Errorf("%d seen: %q, %q", len(seen), seen[0].Text, seen[1].Text)
	}
	s.waits("a\nreply")
	if _, awaits := s.Seen(); awaits != "a reply" {
		t.Errorf("waits for %q", awaits)
	}
}

// Where nobody asks nothing is made for the one who might.
func TestNobodyAsks(t *testing.T) {
	ctx := t.Context()
	query := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	state := tls.ConnectionState{}
	if n := testing.AllocsPerRun(100, func() {
		s := sight(ctx)
		s.waits("the TLS handshake")
		s.saw("truncated", "asking again")
		s.sawTLS(state)
		s.sawQuestion(query)
		s.sawReply(query, 512)
		s.sawAnswers(query)
		s.sawUnit(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
