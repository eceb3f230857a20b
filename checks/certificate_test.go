package checks

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestCertificate(t *testing.T) {
	const day = 24 * time.Hour
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	middle := issue(t, "middle ca", root, nil)
	soon := issue(t, "soon ca", root, until(5*day+day/2))
	gone := issue(t, "gone ca", root, until(-time.Minute))
	good := issue(t, "www.example.com", middle, nil)
	later := issue(t, "later.example.com", middle, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(day) })
	past := issue(t, "past.example.com", middle, until(-day))
	week := issue(t, "week.example.com", middle, until(7*day+day/2))
	nameless := issue(t, "", middle, func(c *x509.Certificate) {
		c.DNSNames, c.Subject, c.NotAfter = []string{"a.example.com", "b.example.com"}, pkix.Name{}, time.Now().Add(-day)
	})
	noNames := issue(t, "none", middle, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
	client := issue(t, "client", middle, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	cross := again(t, middle, root, until(5*day)) // the same authority by another certificate
	at := func(c *issued) string { return c.NotAfter.UTC().Format(time.RFC3339) }

	for name, tt := range map[string]struct {
		pair  tls.Certificate
		check Certificate
		err   string
	}{
		"good":               {good.pair(middle), Certificate{}, ""},
		"name":               {good.pair(middle), Certificate{TLS: TLS{ServerName: "www.example.com"}}, ""},
		"root shown, too":    {good.pair(middle, root), Certificate{}, ""},
		"long enough":        {good.pair(middle), Certificate{DaysLeft: 364}, ""},
		"long enough by far": {week.pair(middle), Certificate{DaysLeft: 7}, ""},
		"too short":          {week.pair(middle), Certificate{DaysLeft: 8}, "ADDR: certificate CN=week.example.com expires at " + at(week) + ", in 7 days, days_left: 8"},
		"chain too short": {
			issue(t, "www.example.com", soon, nil).pair(soon),
			Certificate{DaysLeft: 6},
			"ADDR: certificate CN=soon ca expires at " + at(soon) + ", in 5 days, days_left: 6",
		},
		"two ways":                  {good.pair(cross, middle), Certificate{DaysLeft: 6}, ""},
		"two ways, other order":     {good.pair(middle, cross), Certificate{DaysLeft: 6}, ""},
		"more that expires soon":    {good.pair(middle, soon), Certificate{DaysLeft: 6}, ""},
		"more that has expired":     {good.pair(middle, gone), Certificate{}, ""},
		"expired":                   {past.pair(middle), Certificate{}, "ADDR: certificate CN=past.example.com has expired at " + at(past)},
		"chain expired":             {issue(t, "www.example.com", gone, nil).pair(gone), Certificate{}, "ADDR: certificate CN=gone ca has expired at " + at(gone)},
		"expired, names alone":      {nameless.pair(middle), Certificate{TLS: TLS{ServerName: "b.example.com"}}, "ADDR: certificate a.example.com b.example.com 127.0.0.1 has expired at " + at(nameless)},
		"not yet valid":             {later.pair(middle), Certificate{}, "ADDR: certificate CN=later.example.com is not valid before " + later.NotBefore.UTC().Format(time.RFC3339)},
		"other name":                {good.pair(middle), Certificate{TLS: TLS{ServerName: "example.net"}}, "ADDR: certificate CN=www.example.com is for www.example.com 127.0.0.1, not for example.net"},
		"other name, more expired":  {good.pair(middle, gone), Certificate{TLS: TLS{ServerName: "example.net"}}, "ADDR: certificate CN=www.example.com is for www.example.com 127.0.0.1, not for example.net"},
		"no name":                   {noNames.pair(middle), Certificate{}, "ADDR: certificate CN=none is for no name, not for 127.0.0.1"},
		"chain not shown":           {good.pair(), Certificate{}, "ADDR: certificate CN=www.example.com, of CN=middle ca: x509: certificate signed by unknown authority; tls.ca sets whom to trust"},
		"for clients":               {client.pair(middle), Certificate{}, "ADDR: certificate CN=client, of CN=middle ca: x509: certificate specifies an incompatible key usage"},
		"not verified":              {good.pair(), Certificate{DaysLeft: 7, TLS: TLS{SkipVerify: true, ServerName: "example.net"}}, ""},
		"not verified, expired":     {past.pair(), Certificate{TLS: TLS{SkipVerify: true}}, "ADDR: certificate CN=past.example.com has expired at " + at(past)},
		"not verified, too short":   {week.pair(soon), Certificate{DaysLeft: 6, TLS: TLS{SkipVerify: true}}, "ADDR: certificate CN=soon ca expires at " + at(soon) + ", in 5 days, days_left: 6"},
		"not verified, not yet":     {later.pair(), Certificate{TLS: TLS{SkipVerify: true}}, "ADDR: certificate CN=later.example.com is not valid before " + later.NotBefore.UTC().Format(time.RFC3339)},
		"no such ca":                {good.pair(middle), Certificate{TLS: TLS{CA: "/nonexistent/ca"}}, "ADDR: tls.ca: open /nonexistent/ca: no such file or directory"},
		"version":                   {good.pair(middle), Certificate{TLS: TLS{MinVersion: "1.3"}}, ""},
		"self-signed, not our root": {issue(t, "other ca", nil, nil).pair(), Certificate{TLS: TLS{ServerName: "other ca"}}, "ADDR: certificate CN=other ca is for no name, not for other ca"},
	} {
		if tt.check.TLS.CA == "" && !tt.check.TLS.SkipVerify {
			tt.check.TLS.CA = ca
		}
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.check
			c.Address = listen(t, shows(tt.pair))
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			sameError(t, c.Check(within(t)), tt.err, c.Address)
		})
		t.Run(name+", file", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "chain.pem")
			var text bytes.Buffer
			for _, der := range tt.pair.Certificate {
				pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
			}
			drivertest.WriteFile(t, file, text.String())
			c := tt.check
			c.File, c.TLS.MinVersion = file, ""
			if c.TLS.ServerName == "" {
				c.TLS.ServerName = "127.0.0.1"
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			sameError(t, c.Check(within(t)), tt.err, file)
		})
	}
}

func TestCertificateFails(t *testing.T) {
	root := issue(t, "root ca", nil, nil)
	ca, key := root.files(t)
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		check Certificate
		err   string
	}{
		"no tls":      {says("220 mail\r\n"), Certificate{}, "ADDR: tls handshake: tls: first record does not look like a TLS handshake"},
		"hangs":       {func(net.Conn) {}, Certificate{}, "ADDR: tls handshake: timed out"},
		"closes":      {says(""), Certificate{}, "ADDR: tls handshake: closed by the other side"},
		"refused":     {nil, Certificate{}, "ADDR: dial tcp ADDR: connect: connection refused"},
		"smtp hangs":  {func(net.Conn) {}, Certificate{StartTLS: "smtp"}, "ADDR: greeting: timed out"},
		"smtp leaves": {script("421 busy"), Certificate{StartTLS: "smtp"}, `ADDR: greeting: got "421 busy", expected 220`},
		"smtp without STARTTLS": {
			script("220 mail", "EHLO", "250 mail"),
			Certificate{StartTLS: "smtp"},
			"ADDR: STARTTLS: the server does not offer it",
		},
		"imap hangs":  {func(net.Conn) {}, Certificate{StartTLS: "imap"}, "ADDR: greeting: timed out"},
		"imap leaves": {script("* BYE busy"), Certificate{StartTLS: "imap"}, `ADDR: greeting: the server is leaving: "* BYE busy"`},
		"no file":     {nil, Certificate{File: "/nonexistent/a.pem"}, "/nonexistent/a.pem: file: open /nonexistent/a.pem: no such file or directory"},
		"a key":       {nil, Certificate{File: key}, key + ": file: no PEM certificate in it"},
		"no certificate": {
			nil,
			Certificate{File: pemFile(t, "CERTIFICATE", []byte("garbage"))},
			"FILE: file: certificate 1: x509: malformed certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.check
			c.TLS.CA = ca
			switch {
			case c.File == "" && tt.serve == nil:
				c.Address = freeAddress(t)
			case c.File == "":
				c.Address = listen(t, tt.serve)
			}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			err := c.Check(ctx)
			sameError(t, err, strings.ReplaceAll(tt.err, "FILE", c.File), c.Address)
			if c.File != "" {
				if _, looked := c.Host()(); looked == nil {
					t.Error("Host finds nothing wrong")
				}
			}
		})
	}
}

func TestCertificateHost(t *testing.T) {
	ca, _ := issue(t, "root ca", nil, nil).files(t)
	if (&Certificate{Address: "127.0.0.1:443"}).Host() != nil {
		t.Error("there is nothing to look at")
	}
	if _, err := (&Certificate{File: ca, TLS: TLS{CA: ca}}).Host()(); err != nil {
		t.Error(err)
	}
	_, err := (&Certificate{File: ca, TLS: TLS{CA: "/nonexistent/ca"}}).Host()()
	sameError(t, err, "tls.ca: open /nonexistent/ca: no such file or directory", "")
}

func TestCertificateSees(t *testing.T) {
	root := issue(t, "root ca", nil, until(36*time.Hour))
	ca, _ := root.files(t)
	for name, tt := range map[string]struct {
		check Certificate
		want  string
	}{
		"file":   {Certificate{File: ca}, "certificate expires"},
		"server": {Certificate{Address: listen(t, shows(issue(t, "a", root, nil).pair()))}, "connected tls certificate expires"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.check.TLS.CA = ca
			var s Sight
			if err := tt.check.Check(WithSight(within(t), &s)); err != nil {
				t.Fatal(err)
			}
			seen, _ := s.Seen()
			var words []string
			for _, one := range seen {
				words = append(words, one.What)
			}
			if got := strings.Join(words, " "); got != tt.want {
				t.Errorf("saw %s, want %s", got, tt.want)
			}
			want := "CN=root ca expires at " + root.NotAfter.UTC().Format(time.RFC3339) + ", in 1 days"
			if got := seen[len(seen)-1].Text; got != want {
				t.Errorf("saw %q, want %q", got, want)
			}
		})
	}
}

func TestCertificateValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		check Certificate
		err   string
	}{
		"address":          {Certificate{Address: "[::1]:443"}, ""},
		"file":             {Certificate{File: "/a.pem"}, ""},
		"neither":          {Certificate{}, "address, file: just one of them is needed"},
		"both":             {Certificate{Address: "127.0.0.1:443", File: "/a.pem"}, "address, file: just one of them is needed"},
		"no port":          {Certificate{Address: "127.0.0.1"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:443 or [::1]:443`},
		"port 0":           {Certificate{Address: "127.0.0.1:0"}, `address: "0" is no port from 1 to 65535`},
		"key alone":        {Certificate{Address: "127.0.0.1:443", TLS: TLS{Key: "/k"}}, "tls: cert and key go together, only one is set"},
		"starttls":         {Certificate{Address: "127.0.0.1:443", StartTLS: "smtp"}, ""},
		"starttls, file":   {Certificate{File: "/a.pem", StartTLS: "imap"}, "starttls: not for a file"},
		"no starttls":      {Certificate{File: "/a.pem", StartTLS: "none"}, ""},
		"file, and a cert": {Certificate{File: "/a.pem", TLS: TLS{Cert: "/c", Key: "/k"}}, "tls: cert and key are shown to a server, and not for a file"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.check.Validate(), tt.err, "") })
	}
}
