package checks

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// refusedPassword is a password that the server did not take.
type refusedPassword struct {
	sum   [sha256.Size]byte // of the password, which is not kept
	until time.Time         // it is not sent again before
	err   error             // what the server said
}

// validateBind says what is wrong with the settings of the bind.
func (l *LDAP) validateBind() error {
	simple := l.Bind == "simple"
	switch {
	case simple && l.BindDN == "":
		return errors.New("bind_dn: needed for bind: simple")
	case simple && l.PasswordFile == "":
		return errors.New("password_file: needed for bind: simple")
	case !simple && l.BindDN != "":
		return errors.New("bind_dn: only with bind: simple")
	case !simple && l.PasswordFile != "":
		return errors.New("password_file: only with bind: simple")
	case l.Bind == "external" && !l.unix() && l.TLS.Cert == "":
		return errors.New("bind: external needs a unix socket or tls.cert, which says who asks")
	case simple && !l.private() && !l.InsecurePassword:
		return fmt.Errorf("transport: the password would go to %s over plain TCP: use tls or starttls, or set insecure_password if nobody can listen on the way", l.Address)
	}
	return nil
}

// private reports whether nobody else than root can read what goes to the server.
func (l *LDAP) private() bool {
	if l.unix() || l.Transport != "tcp" {
		return true
	}
	_, _, host, err := l.endpoint()
	return err == nil && (strings.EqualFold(host, "localhost") || literal(host).IsLoopback())
}

// password reads the file.
func (l *LDAP) password() (string, error) {
	file, err := os.Open(l.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", unreadable(err))
	}
	defer file.Close()
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > most:
		return "", fmt.Errorf("password_file: %s has more than %d bytes", l.PasswordFile, most)
	case password == "":
		// A bind without one succeeds as anonymous and proves nothing (RFC 4513 section 5.1.2).
		return "", fmt.Errorf("password_file: %s has no password", l.PasswordFile)
	}
	return password, nil
}

// credentials returns the password to log in by, or the error by which the server refused
// it a short while ago.
func (l *LDAP) credentials(ctx context.Context) (string, error) {
	if l.Bind != "simple" {
		return "", nil
	}
	password, err := l.password()
	if err != nil {
		return "", err
	}
	was := l.refused.Load()
	if was != nil && was.sum == sha256.Sum256([]byte(password)) && time.Now().Before(was.until) {
		sight(ctx).saw("not asked", "the server refused this password, which is sent again in %s", time.Until(was.until).Round(time.Second))
		return "", was.err
	}
	return password, nil
}

// bind logs in, if it has to.
func (l *LDAP) bind(ctx context.Context, s *ldapSession, password string) error {
	var request []byte
	as := fmt.Sprintf("%q", l.BindDN)
	switch l.Bind {
	case "simple":
		request = ldapBind(l.BindDN, berTLV(ldapSimple, []byte(password)))
	case "external":
		request = ldapBind("", berTLV(ldapSASL, berTLV(berOctetString, []byte("EXTERNAL")), berTLV(berOctetString)))
		as = "whom the connection shows (external)"
	default:
		return nil
	}
	sight(ctx).waits("the answer to the bind")
	result, err := s.exchange(ctx, request, ldapBindResponse)
	if err != nil {
		return fmt.Errorf("binding as %s: %w", as, err)
	}
	if result.code == ldapSuccess {
		l.refused.Store(nil)
		sight(ctx).saw("bound", "as %s", as)
		return nil
	}
	err = fmt.Errorf("binding as %s: %w", as, result)
	if result.code == ldapInvalidLogin && l.Bind == "simple" {
		err = fmt.Errorf("%w; the password is not sent again for %s, unless %s changes", err, l.PasswordPause, l.PasswordFile)
		l.refused.Store(&refusedPassword{sha256.Sum256([]byte(password)), time.Now().Add(l.PasswordPause), err})
	}
	return err
}
