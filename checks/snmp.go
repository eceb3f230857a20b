package checks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gosnmp/gosnmp"
)

func init() {
	register(Kind{
		Name: "snmp",
		Doc: "Asks an SNMP agent for one value, by version 2c or 3, over UDP, and compares it. A value that the agent does not have is a failure. " +
			"An agent that does not know the community, or does not let this host ask, is silent. snmpd logs each request unless " +
			"its configuration has `dontLogTCPWrappersConnects true`.",
		Example: "address: 127.0.0.1:161\ncommunity_file: /etc/keepcast/community\n",
		New:     func() Checker { return new(SNMP) },
		AtOnce:  stopsListening,
	})
}

// SNMP is fit when an agent has a value as expected.
type SNMP struct {
	Address             string         `config:"address" required:"true" doc:"Host and port of the agent, as in '127.0.0.1:161' or '[::1]:161'."`
	Version             string         `config:"version" default:"2c" enum:"2c|3" doc:"Version of SNMP to speak."`
	CommunityFile       string         `config:"community_file" doc:"File with the community in its first line, for 'version: 2c'. Empty: the community public."`
	User                string         `config:"user" doc:"User to ask as, for 'version: 3'."`
	AuthProtocol        string         `config:"auth_protocol" default:"sha" enum:"md5|sha|sha224|sha256|sha384|sha512" doc:"How the user is authenticated, if 'auth_password_file' is set."`
	AuthPasswordFile    string         `config:"auth_password_file" doc:"File with the user's password in its first line. Empty: messages are not authenticated."`
	PrivacyProtocol     string         `config:"privacy_protocol" default:"aes" enum:"des|aes|aes192|aes256|aes192c|aes256c" doc:"How messages are encrypted, if 'privacy_password_file' is set. Those with a c are the keys as Cisco makes them."`
	PrivacyPasswordFile string         `config:"privacy_password_file" doc:"File with the password for encryption in its first line. Empty: messages are not encrypted."`
	OID                 string         `config:"oid" default:"1.3.6.1.2.1.1.3.0" doc:"The value to ask for, as numbers. The default is sysUpTime.0, hundredths of a second since the agent started."`
	Expect              *regexp.Regexp `config:"expect" doc:"Regular expression that the value, as text, must match."`
	Min                 *float64       `config:"min" doc:"The value must be a number, at least this."`
	Max                 *float64       `config:"max" doc:"The value must be a number, at most this."`
}

// maxSNMPName is the longest community or name of a user (RFC 3414 section 5; the library
// has one byte for the length).
const maxSNMPName = 127

// Validate implements Validator.
func (c *SNMP) Validate() error {
	if err := validAddress(c.Address, "161"); err != nil {
		return err
	}
	if !validOID(c.OID) {
		return fmt.Errorf("oid: %q is no OID in numbers, as in 1.3.6.1.2.1.1.3.0", c.OID)
	}
	switch v3 := c.Version == "3"; {
	case c.Min != nil && c.Max != nil && *c.Min > *c.Max:
		return fmt.Errorf("min: %v is more than max, %v", *c.Min, *c.Max)
	case v3 && c.CommunityFile != "":
		return errors.New("community_file: only with version: 2c")
	case v3 && (c.User == "" || len(c.User) > 32):
		return fmt.Errorf("user: %q has not 1 to 32 bytes", c.User)
	case !v3 && (c.User != "" || c.AuthPasswordFile != "" || c.PrivacyPasswordFile != ""):
		return errors.New("user, auth_password_file, privacy_password_file: only with version: 3")
	case c.PrivacyPasswordFile != "" && c.AuthPasswordFile == "":
		return errors.New("privacy_password_file: only with auth_password_file")
	}
	return nil
}

// validOID reports whether a text is an OID of two numbers or more, with a dot before it or
// without.
func validOID(text string) bool {
	numbers := strings.Split(strings.TrimPrefix(text, "."), ".")
	for i, n := range numbers {
		value, err := strconv.ParseUint(n, 10, 32)
		if err != nil || i == 0 && value > 2 || i == 1 && value > 39 {
			return false
		}
	}
	return len(numbers) >= 2 && len(numbers) <= 128 // RFC 2578 section 3.5
}

// Target implements Aimed.
func (c *SNMP) Target() netip.Addr { return targetOf(c.Address) }

// Host implements Hosted.
func (c *SNMP) Host() func() ([]string, error) {
	if c.CommunityFile == "" && c.AuthPasswordFile == "" {
		return nil
	}
	return func() ([]string, error) { return nil, c.identify(new(gosnmp.GoSNMP)) }
}

// Check implements Checker.
func (c *SNMP) Check(ctx context.Context) error {
	if err := c.ask(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.Address, err)
	}
	return nil
}

func (c *SNMP) ask(ctx context.Context) error {
	session, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, session.Conn)()
	s := sight(ctx)
	s.waits("an answer")
	got, err := session.Get([]string{c.OID})
	if err != nil {
		return c.explain(ctx, err)
	}
	if got.Error != gosnmp.NoError {
		return fmt.Errorf("the agent answers with the error %s", got.Error)
	}
	if len(got.Variables) != 1 || strings.TrimPrefix(got.Variables[0].Name, ".") != strings.TrimPrefix(c.OID, ".") {
		return fmt.Errorf("the answer is not about %s", c.OID)
	}
	value := got.Variables[0]
	text := snmpText(value)
	s.saw("answer", "%s, %s", value.Type, quotation(text))
	return c.judge(value.Type, text)
}

// connect returns a session whose socket is one as Dialer makes them. The library has to
// make it: it readies more than that.
func (c *SNMP) connect(ctx context.Context) (*gosnmp.GoSNMP, error) {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, err
	}
	number, err := portNumber(port)
	if err != nil {
		return nil, err
	}
	s := sight(ctx)
	dialing := ctx
	if s != nil {
		dialing = s.resolving(ctx)
		s.waits("a connection to %s", c.Address)
	}
	session := &gosnmp.GoSNMP{
		Target: host, Port: number, Transport: "udp", Context: dialing,
		Timeout: time.Hour, // that of ctx is shorter
		Control: func(network, address string, conn syscall.RawConn) error { return control(ctx, network, address, conn) },
	}
	if err := c.identify(session); err != nil {
		return nil, err
	}
	if err := session.Connect(); err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op // the library only adds words
		}
		return nil, unable(ctx, err)
	}
	if s != nil {
		s.saw("connected", "udp to %s, from %s", session.Conn.RemoteAddr(), session.Conn.LocalAddr())
	}
	return session, nil
}

// identify sets who asks, and how it is proved.
func (c *SNMP) identify(session *gosnmp.GoSNMP) (err error) {
	if c.Version != "3" {
		session.Version, session.Community = gosnmp.Version2c, "public"
		if c.CommunityFile != "" {
			session.Community, err = secretIn("community_file", c.CommunityFile)
		}
		if err == nil && len(session.Community) > maxSNMPName {
			err = fmt.Errorf("community_file: the first line of %s has more than %d bytes", c.CommunityFile, maxSNMPName)
		}
		return err
	}
	user := &gosnmp.UsmSecurityParameters{UserName: c.User, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv}
	session.Version, session.SecurityModel, session.SecurityParameters = gosnmp.Version3, gosnmp.UserSecurityModel, user
	if c.AuthPasswordFile == "" {
		return nil
	}
	session.MsgFlags = gosnmp.AuthNoPriv
	user.AuthenticationProtocol = snmpAuth(c.AuthProtocol)
	if user.AuthenticationPassphrase, err = secretIn("auth_password_file", c.AuthPasswordFile); err != nil || c.PrivacyPasswordFile == "" {
		return err
	}
	session.MsgFlags = gosnmp.AuthPriv
	user.PrivacyProtocol = snmpPrivacy(c.PrivacyProtocol)
	user.PrivacyPassphrase, err = secretIn("privacy_password_file", c.PrivacyPasswordFile)
	return err
}

// snmpAuth returns the protocol of that name (RFC 3414, RFC 7860).
func snmpAuth(name string) gosnmp.SnmpV3AuthProtocol {
	return map[string]gosnmp.SnmpV3AuthProtocol{
		"md5": gosnmp.MD5, "sha": gosnmp.SHA, "sha224": gosnmp.SHA224, "sha256": gosnmp.SHA256, "sha384": gosnmp.SHA384, "sha512": gosnmp.SHA512,
	}[name]
}

// snmpPrivacy returns the protocol of that name (RFC 3414, RFC 3826; those of 192 and 256
// bits have no RFC).
func snmpPrivacy(name string) gosnmp.SnmpV3PrivProtocol {
	return map[string]gosnmp.SnmpV3PrivProtocol{
		"des": gosnmp.DES, "aes": gosnmp.AES, "aes192": gosnmp.AES192, "aes256": gosnmp.AES256, "aes192c": gosnmp.AES192C, "aes256c": gosnmp.AES256C,
	}[name]
}

// explain says what an error of the library means.
func (c *SNMP) explain(ctx context.Context, err error) error {
	reason := "does not know the community"
	if c.Version == "3" {
		reason = "can't decrypt (privacy_password_file, privacy_protocol)"
		if strings.Contains(err.Error(), "not authentic") { // the library has no value for it
			return errors.New("the answer is not authenticated, as of an agent that does not know the user with this auth_password_file, auth_protocol and privacy")
		}
	}
	text, _, crashed := strings.Cut(err.Error(), " Stack:") // the library says so of its own faults
	if crashed {
		return fmt.Errorf("the answer can't be read: %s", text)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op // the library only adds words
	} else if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded // the library looks at the deadline of ctx by itself
	}
	if err = explain(ctx, err); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer, as of an agent that %s or does not let this host ask: %w", reason, err)
	}
	return err
}

// judge says what is wrong with a value.
func (c *SNMP) judge(kind gosnmp.Asn1BER, text string) error {
	switch kind {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null:
		return fmt.Errorf("the agent has no value for %s, or does not show it (%s)", c.OID, kind)
	}
	if c.Expect != nil && !c.Expect.MatchString(text) {
		return fmt.Errorf("%s: no match for '%s' in %s", c.OID, c.Expect, excerpt([]byte(text)))
	}
	if c.Min == nil && c.Max == nil {
		return nil
	}
	number, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil || math.IsNaN(number):
		return fmt.Errorf("%s: %s is no number", c.OID, excerpt([]byte(text)))
	case c.Min != nil && number < *c.Min:
		return fmt.Errorf("%s: %s is less than min, %v", c.OID, text, *c.Min)
	case c.Max != nil && number > *c.Max:
		return fmt.Errorf("%s: %s is more than max, %v", c.OID, text, *c.Max)
	}
	return nil
}

// snmpText returns a value as text: numbers in decimal, an OID in numbers.
func snmpText(value gosnmp.SnmpPDU) string {
	switch v := value.Value.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case string:
		if value.Type == gosnmp.ObjectIdentifier {
			return strings.TrimPrefix(v, ".")
		}
		return v
	}
	return fmt.Sprint(value.Value)
}
