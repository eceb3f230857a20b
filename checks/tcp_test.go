package checks

import (
	"bufio"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
)

// smtp greets, and answers QUIT.
func smtp(c net.Conn) {
	defer c.Close()
	io.WriteString(c, "220 mail.")
	io.WriteString(c, "example.com ready\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
		io.WriteString(c, "221 bye to "+line)
	}
}

func TestTCP(t *testing.T) {
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		tcp   TCP
		err   string
	}{
		"connects":   {serve: func(net.Conn) {}},
		"greeting":   {serve: smtp, tcp: TCP{Expect: regexp.MustCompile(`^220 .*ready`)}},
		"answer":     {serve: smtp, tcp: TCP{Send: "QUIT\r\n", Expect: regexp.MustCompile(`221 bye to QUIT\r\n`)}},
		"send alone": {serve: smtp, tcp: TCP{Send: "QUIT\r\n"}},
		"other answer": {
			serve: func(c net.Conn) { io.WriteString(c, "554 no\r\n"); c.Close() }, tcp: TCP{Expect: regexp.MustCompile(`^220 `)},
			err: `ADDR: waiting for '^220 ': closed by the other side, got "554 no"`,
		},
		"says nothing": {
			serve: func(net.Conn) {}, tcp: TCP{Expect: regexp.MustCompile(`^220 `)},
			err: `ADDR: waiting for '^220 ': timed out, got ""`,
		},
		"stops in the middle": {
			serve: func(c net.Conn) { io.WriteString(c, "22") }, tcp: TCP{Expect: regexp.MustCompile(`^220 `)},
			err: `ADDR: waiting for '^220 ': timed out, got "22"`,
		},
		"floods": {
			serve: func(c net.Conn) {
				for {
					if _, err := io.WriteString(c, strings.Repeat("a", 1024)); err != nil {
						return
					}
				}
			}, tcp: TCP{Expect: regexp.MustCompile(`^220 `)},
			err: `ADDR: waiting for '^220 ': no match in the first 16384 bytes, got "` + strings.Repeat("a", 120) + `"...`,
		},
		"tls handshake without end": {
			serve: func(net.Conn) {}, tcp: TCP{Transport: "tls"},
			err: `ADDR: tls handshake: timed out`,
		},
		"no tls": {
			serve: smtp, tcp: TCP{Transport: "tls"},
			err: `ADDR: tls handshake: tls: first record does not look like a TLS handshake`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.tcp.Address = listen(t, tt.serve)
			if err := tt.tcp.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, tt.tcp.Check(ctx), tt.err, tt.tcp.Address)
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := TCP{Address: freeAddress(t)}
		sameError(t, c.Check(within(t)), "ADDR: dial tcp ADDR: connect: connection refused", c.Address)
	})
}

func TestTCPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		tcp TCP
		err string
	}{
		"good":      {tcp: TCP{Address: "127.0.0.1:25", Transport: "tcp"}},
		"tls":       {tcp: TCP{Address: "[::1]:465", Transport: "tls", TLS: TLS{SkipVerify: true}}},
		"no port":   {tcp: TCP{Address: "127.0.0.1"}, err: `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:25 or [::1]:25`},
		"no host":   {tcp: TCP{Address: ":25"}, err: `address: ":25" is not a host and a port, as in 127.0.0.1:25 or [::1]:25`},
		"bare IPv6": {tcp: TCP{Address: "::1:25"}, err: `address: "::1:25" is not a host and a port, as in 127.0.0.1:25 or [::1]:25`},
		"port name": {tcp: TCP{Address: "127.0.0.1:smtp"}, err: `address: "smtp" is no port from 1 to 65535`},
		"port 0":    {tcp: TCP{Address: "127.0.0.1:0"}, err: `address: "0" is no port from 1 to 65535`},
		"tls unused": {
			tcp: TCP{Address: "127.0.0.1:25", Transport: "tcp", TLS: TLS{ServerName: "a", MinVersion: "1.2"}},
			err: "tls: only with transport: tls",
		},
		"cert alone": {
			tcp: TCP{Address: "127.0.0.1:25", Transport: "tls", TLS: TLS{Cert: "/x"}},
			err: "tls: cert and key go together, only one is set",
		},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.tcp.Validate(), tt.err, "") })
	}
}

func TestEscaped(t *testing.T) {
	for text, tt := range map[string]struct{ want, err string }{
		``:                {},
		`QUIT\r\n`:        {want: "QUIT\r\n"},
		"QUIT\r\n":        {want: "QUIT\r\n"},
		`\x00\xff\\é"'`:   {want: "\x00\xff\\é\"'"},
		`\u00e9`:          {want: "é"},
		`ends in \`:       {err: `"ends in \\" has no meaning at "\\" (known: \r \n \t \\ \xNN \uNNNN)`},
		`a\q`:             {err: `"a\\q" has no meaning at "\\q" (known: \r \n \t \\ \xNN \uNNNN)`},
		"not UTF-8: \xe9": {want: "not UTF-8: \xe9"},
	} {
		t.Run(text, func(t *testing.T) {
			var e Escaped
			sameError(t, e.UnmarshalText([]byte(text)), tt.err, "")
			if string(e) != tt.want {
				t.Errorf("got %q, want %q", e, tt.want)
			}
		})
	}
}

// FuzzEscaped looks for text that is read, but not as what strconv reads.
func FuzzEscaped(f *testing.F) {
	f.Add(`a\r\n\x00"'\\`)
	f.Fuzz(func(t *testing.T, text string) {
		var e Escaped
		if e.UnmarshalText([]byte(text)) == nil && !strings.Contains(text, `\`) && string(e) != text {
			t.Errorf("%q became %q", text, e)
		}
	})
}

// TestTimeoutIs keeps a timeout recognisable for those who count them.
func TestTimeoutIs(t *testing.T) {
	c := TCP{Address: listen(t, func(net.Conn) {}), Expect: regexp.MustCompile(`x`)}
	ctx := shortly(t)
	err := c.Check(ctx)
	if !errors.Is(err, ctx.Err()) {
		t.Errorf("%v is no %v", err, ctx.Err())
	}
}
