package checks

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

func init() {
	register(Kind{
		Name: "radius",
		Doc: "Asks a RADIUS server over UDP for its status (Status-Server, RFC 5997), or whether a user may log in (Access-Request, RFC 2865). " +
			"The status tells that the server runs and knows this host. It is no login, and FreeRADIUS does not log it. Whether the database of the users " +
			"can be reached it tells only where the server is made to look (in FreeRADIUS by `Autz-Type Status-Server`); a status that is rejected is a failure. " +
			"A login of a user that exists always tells. A login that is rejected is logged, and may lock the user: have a user made for the check. " +
			"FreeRADIUS rejects a second late (`reject_delay`), for which `timeout` must leave room.",
		Example: "address: 127.0.0.1\nsecret_file: /etc/keepcast/radius.secret\n",
		New:     func() Checker { return new(Radius) },
		AtOnce:  stopsListening,
	})
}

// Radius is fit when a RADIUS server that has the same secret answers.
type Radius struct {
	Address      string `config:"address" required:"true" doc:"Server to ask: an address or a host, with or without a port. The port is 1812. A port for accounting, as 1813, answers for its status, too."`
	SecretFile   string `config:"secret_file" required:"true" doc:"File with the secret, shared with the server, in its first line. It is read anew for each run."`
	Send         string `config:"send" default:"status" enum:"status|access" doc:"What to ask for: the status of the server, or the login of a user (PAP)."`
	User         string `config:"user" doc:"User to log in, for 'send: access'."`
	PasswordFile string `config:"password_file" doc:"File with the password of the user in its first line, for 'send: access'. It is read anew for each run."`
	Expect       string `config:"expect" default:"accept" enum:"accept|answer" doc:"For 'send: access': the user must be let in, or the server must answer, if only to reject the user or to ask for more. One that has lost the database of its users may reject everybody."`
	Signed       bool   `config:"require_message_authenticator" default:"true" doc:"The answer must have a Message-Authenticator. Without one somebody on the way may have turned a rejection into an acceptance (Blast-RADIUS, CVE-2024-3596). FreeRADIUS before 3.2.5, as in Debian 12, sends one only where its configuration adds it. One that is there is always checked."`
}

// Validate implements Validator.
func (r *Radius) Validate() error {
	if _, _, err := withPort("address", r.Address, "1812"); err != nil {
		return err
	}
	if r.Send == "access" {
		switch {
		case r.User == "":
			return errors.New("user: needed for send: access")
		case len(r.User) > maxAttribute:
			return fmt.Errorf("user: longer than %d bytes", maxAttribute)
		case r.PasswordFile == "":
			return errors.New("password_file: needed for send: access")
		}
		return nil
	}
	switch {
	case r.User != "":
		return errors.New("user: only with send: access")
	case r.PasswordFile != "":
		return errors.New("password_file: only with send: access")
	case r.Expect == "answer":
		return errors.New("expect: answer is only for send: access")
	}
	return nil
}

// Target implements Aimed.
func (r *Radius) Target() netip.Addr { return targetWithPort(r.Address) }

// Host implements Hosted.
func (r *Radius) Host() func() ([]string, error) {
	return func() ([]string, error) {
		_, _, err := r.secrets()
		return nil, err
	}
}

// secrets reads the secret of the server and the password of the user, if there is one.
func (r *Radius) secrets() (secret, password string, err error) {
	if secret, err = secretIn("secret_file", r.SecretFile); err != nil || r.Send != "access" {
		return secret, "", err
	}
	if password, err = passwordIn(r.PasswordFile); err != nil {
		return "", "", err
	}
	if len(password) > maxPassword {
		return "", "", fmt.Errorf("password_file: the first line of %s is longer than %d bytes", r.PasswordFile, maxPassword)
	}
	return secret, password, nil
}

// Check implements Checker.
func (r *Radius) Check(ctx context.Context) error {
	_, address, err := withPort("address", r.Address, "1812")
	if err != nil {
		return err
	}
	if err := r.ask(ctx, address); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

func (r *Radius) ask(ctx context.Context, address string) error {
	secret, password, err := r.secrets()
	if err != nil {
		return err
	}
	request := r.request([]byte(secret), []byte(password))
	conn, err := connect(ctx, "udp", address, nil)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("sending: %w", explain(ctx, err))
	}
	asked := radiusCode(request[0])
	sight(ctx).waits("an answer to %s", asked)
	answer, err := r.await(ctx, conn, request, []byte(secret))
	if err != nil {
		return fmt.Errorf("waiting for an answer to %s: %w", asked, err)
	}
	says := answer.says(password)
	sight(ctx).saw("answer", "%s", says)
	return r.judge(answer.code, says)
}

// request returns the request to send.
func (r *Radius) request(secret, password []byte) []byte {
	var random [1 + 16]byte
	rand.Read(random[:]) // never fails
	id, authenticator := random[0], random[1:]
	named := radiusAttribute(radiusNAS, []byte("keepcast"))
	if r.Send == "access" {
		return radiusRequest(radiusAccess, id, authenticator, secret,
			radiusAttribute(radiusUser, []byte(r.User)), radiusAttribute(radiusPassword, hidePassword(password, secret, authenticator)), named)
	}
	return radiusRequest(radiusStatus, id, authenticator, secret, named)
}

// await reads until an answer to the request comes that can be trusted. All others are
// dropped, as RFC 2865 section 3 has it: anybody may have sent them.
func (r *Radius) await(ctx context.Context, conn io.Reader, request, secret []byte) (radiusAnswer, error) {
	var dropped error
	for buf := make([]byte, maxRadius); ; {
		n, err := conn.Read(buf)
		if err == nil {
			answer, err := parseRadius(buf[:n], request, secret)
			if err == nil && r.Signed && !answer.signed {
				err = errors.New("it has no Message-Authenticator: update the server, or set require_message_authenticator: false")
				return radiusAnswer{}, err
			}
			if err == nil {
				return answer, nil
			}
			dropped = err
			continue
		}
		err = explain(ctx, err)
		switch {
		case !errors.Is(err, context.DeadlineExceeded):
		case dropped != nil:
			err = fmt.Errorf("%w, and what came was dropped: %w", err, dropped)
		case r.Send == "access":
			err = fmt.Errorf("%w: a server is silent, too, where it has another secret for this host, or none", err)
		default:
			err = fmt.Errorf("%w: a server is silent, too, where it has another secret for this host, or none, or does not tell its status", err)
		}
		return radiusAnswer{}, err
	}
}

// judge says what is wrong with an answer that can be trusted, by its code.
func (r *Radius) judge(code byte, says string) error {
	switch {
	case code == radiusAccept, code == radiusAccounting && r.Send != "access":
		return nil
	case r.Expect == "answer" && (code == radiusReject || code == radiusChallenge):
		return nil
	}
	if r.Expect == "answer" {
		return fmt.Errorf("got %s, expected an answer to a login", says)
	}
	return fmt.Errorf("got %s, expected Access-Accept", says)
}
