package checks

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func init() {
	register(Kind{
		Name: "tls",
		Doc: "Looks at the certificates that a server shows, or at those of a file: who signed them, for which name they are, and how long they " +
			"are valid by the clock of this host. Hosts with the same certificate fail at the same moment, so `on_failure: degrade` goes well with " +
			"`days_left`: a service that is withdrawn everywhere serves nobody.",
		Example: "address: 127.0.0.1:443\ntls: {server_name: www.example.com}\ndays_left: 7\n",
		New:     func() Checker { return new(Certificate) },
		AtOnce:  stopsListening,
	})
}

// Certificate is fit when a certificate is trusted, for the name, and valid for long enough.
type Certificate struct {
	Address  string `config:"address" doc:"Host and port to connect to, as in '127.0.0.1:443' or '[::1]:443'. Either this or 'file' is needed."`
	File     string `config:"file" doc:"PEM file with the certificate and those of its chain after it, as a server is given them, to look at instead. The name of 'tls.server_name' is looked for, if set."`
	StartTLS string `config:"starttls" default:"none" enum:"none|smtp|imap" doc:"Speak this protocol up to STARTTLS, instead of TLS from the start."`
	DaysLeft int    `config:"days_left" default:"0" min:"0" max:"3650" doc:"For how many days more every certificate of the chain must be valid. With 0 only one fails that has expired."`
	TLS      TLS    `config:"tls" doc:"How to speak TLS, whom to trust and which name to look for. With 'insecure_skip_verify' the dates alone count."`
}

// Validate implements Validator.
func (c *Certificate) Validate() error {
	switch {
	case (c.Address == "") == (c.File == ""):
		return errors.New("address, file: just one of them is needed")
	case c.File == "":
		return c.over().validate("443")
	case c.StartTLS != "" && c.StartTLS != "none":
		return errors.New("starttls: not for a file")
	case c.TLS.Cert != "" || c.TLS.Key != "":
		return errors.New("tls: cert and key are shown to a server, and not for a file")
	}
	return nil
}

// over is how the server is talked to. What it shows is looked at here, whatever it is.
func (c *Certificate) over() mailTransport {
	m := mailTransport{c.Address, "tls", c.TLS}
	m.tls.CA, m.tls.SkipVerify = "", true
	if c.StartTLS == "smtp" || c.StartTLS == "imap" {
		m.transport = "starttls"
	}
	return m
}

// Target implements Aimed.
func (c *Certificate) Target() netip.Addr { return targetOf(c.Address) }

// Host implements Hosted.
func (c *Certificate) Host() func() ([]string, error) {
	return c.TLS.hostWith(c.File, func() error {
		_, err := readCertificates(c.File)
		return err
	})
}

// Check implements Checker.
func (c *Certificate) Check(ctx context.Context) error {
	if err := c.look(ctx); err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(c.File, c.Address), err)
	}
	return nil
}

func (c *Certificate) look(ctx context.Context) error {
	host, _, _ := net.SplitHostPort(c.Address)
	trust, err := c.TLS.config(host)
	if err != nil {
		return err
	}
	var shown []*x509.Certificate
	if c.File != "" {
		shown, err = readCertificates(c.File)
		sight(ctx).sawCertificates(shown)
	} else {
		shown, err = c.ask(ctx)
	}
	if err != nil {
		return err
	}
	last, err := c.judge(shown, trust, time.Now())
	if err != nil {
		return err
	}
	sight(ctx).saw("expires", "%s", expiry(last, time.Now()))
	return nil
}

// ask returns the certificates that the server shows; the first is its own.
func (c *Certificate) ask(ctx context.Context) (shown []*x509.Certificate, err error) {
	err = c.over().talk(ctx, func(l *lines, secure *tls.Config) error {
		switch c.StartTLS {
		case "smtp":
			err = new(SMTP).greet(ctx, l, secure)
			_ = l.write("QUIT") // the answer does not matter any more
		case "imap":
			err = (&imapDialogue{lines: l}).greet(ctx, secure)
			_ = l.write("end LOGOUT")
		}
		if err == nil {
			shown = l.conn.(*tls.Conn).ConnectionState().PeerCertificates
		}
		return err
	})
	return shown, err
}

// judge says what is wrong with the certificates at that time, or returns the one that
// expires first.
func (c *Certificate) judge(shown []*x509.Certificate, trust *tls.Config, now time.Time) (*x509.Certificate, error) {
	chains := [][]*x509.Certificate{shown}
	if !c.TLS.SkipVerify {
		options := x509.VerifyOptions{Roots: trust.RootCAs, DNSName: trust.ServerName, CurrentTime: now, Intermediates: x509.NewCertPool()}
		for _, more := range shown[1:] {
			options.Intermediates.AddCert(more)
		}
		verified, err := shown[0].Verify(options)
		if err != nil {
			return nil, untrusted(err, shown, trust.ServerName, now)
		}
		chains = verified
	}
	// A client may go by any of the chains, so the one that lasts the longest counts.
	var last *x509.Certificate
	for _, chain := range chains {
		first := slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		if last == nil || first.NotAfter.After(last.NotAfter) {
			last = first
		}
	}
	if err := outOfDate(shown, now); err != nil && c.TLS.SkipVerify {
		return nil, err
	}
	if last.NotAfter.Sub(now) < time.Duration(c.DaysLeft)*24*time.Hour {
		return nil, fmt.Errorf("certificate %s, days_left: %d", expiry(last, now), c.DaysLeft)
	}
	return last, nil
}

// untrusted words why the first of the certificates is not trusted.
func untrusted(err error, shown []*x509.Certificate, name string, now time.Time) error {
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return fmt.Errorf("certificate %s is for %s, not for %s", certificateName(shown[0]), cmp.Or(strings.Join(namesOf(shown[0]), " "), "no name"), name)
	}
	if date := outOfDate(shown, now); date != nil {
		return date
	}
	return fmt.Errorf("certificate %s, of %s: %w", certificateName(shown[0]), shown[0].Issuer, trusting(err))
}

// outOfDate names the first certificate that is not valid at that time.
func outOfDate(shown []*x509.Certificate, now time.Time) error {
	for _, c := range shown {
		switch {
		case now.After(c.NotAfter):
			return fmt.Errorf("certificate %s has expired at %s", certificateName(c), c.NotAfter.UTC().Format(time.RFC3339))
		case now.Before(c.NotBefore):
			return fmt.Errorf("certificate %s is not valid before %s", certificateName(c), c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// certificateName returns what a certificate is called by: some have no subject, only names.
func certificateName(c *x509.Certificate) string {
	return cmp.Or(c.Subject.String(), strings.Join(namesOf(c), " "), "without a name")
}

// expiry says when a certificate expires.
func expiry(c *x509.Certificate, now time.Time) string {
	return fmt.Sprintf("%s expires at %s, in %d days", certificateName(c), c.NotAfter.UTC().Format(time.RFC3339), int(c.NotAfter.Sub(now)/(24*time.Hour)))
}

// readCertificates returns the certificates of a PEM file, of which there is one at least.
// Keys in it are left alone.
func readCertificates(file string) ([]*x509.Certificate, error) {
	rest, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("file: certificate %d: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("file: no PEM certificate in it")
	}
	return all, nil
}
