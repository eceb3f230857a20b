package checks

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func init() {
	register(Kind{
		Name: "imap",
		Doc: "Talks to an IMAP server (RFC 3501): greeting, CAPABILITY, STARTTLS and a login if told, LOGOUT. " +
			"A server whose authentication process is dead may greet and then say nothing; that is a timeout. " +
			"With a login the server must open the inbox of the user, too. Dovecot logs each run, also one without a login: " +
			"a `listener` beside it, which costs the server nothing, allows a longer interval.",
		Example: "address: 127.0.0.1:143\ncapabilities: [IMAP4rev1, IDLE]\n",
		New:     func() Checker { return new(IMAP) },
		AtOnce:  stopsListening,
	})
}

// IMAP is fit when a server greets, answers, has the capabilities and lets the user in.
type IMAP struct {
	Address      string   `config:"address" required:"true" doc:"Host and port to connect to, as in '127.0.0.1:143' or '[::1]:143'."`
	Transport    string   `config:"transport" default:"tcp" enum:"tcp|tls|starttls" doc:"Plain TCP, TLS from the start (port 993), or TLS after STARTTLS. The server must offer it then."`
	Capabilities []string `config:"capabilities" doc:"Capabilities that the server must have before a login, after STARTTLS if that is told."`
	User         string   `config:"user" doc:"User to log in as, by AUTHENTICATE PLAIN. A server takes its time to refuse a login, often more than the timeout."`
	PasswordFile string   `config:"password_file" doc:"File with the password of the user in its first line. It is read anew for each run."`
	TLS          TLS      `config:"tls" doc:"How to speak TLS, for 'transport: tls' and 'transport: starttls'."`
}

// Validate implements Validator.
func (i *IMAP) Validate() error {
	if (i.User == "") != (i.PasswordFile == "") {
		return errors.New("user and password_file go together, only one is set")
	}
	if strings.Contains(i.User, "\x00") {
		return fmt.Errorf("user: %q has a NUL", i.User)
	}
	for _, c := range i.Capabilities {
		if c == "" || strings.ContainsAny(c, " \r\n") {
			return fmt.Errorf("capabilities: %q is no capability", c)
		}
	}
	return i.over().validate("143")
}

func (i *IMAP) over() mailTransport { return mailTransport{i.Address, i.Transport, i.TLS} }

// Target implements Aimed.
func (i *IMAP) Target() netip.Addr { return targetOf(i.Address) }

// Host implements Hosted.
func (i *IMAP) Host() func() ([]string, error) {
	return endpoint{tls: i.TLS}.host(i.PasswordFile)
}

// Check implements Checker.
func (i *IMAP) Check(ctx context.Context) error {
	err := i.over().talk(ctx, func(l *lines, secure *tls.Config) error {
		d := &imapDialogue{lines: l}
		err := i.session(ctx, d, secure)
		if err != nil {
			_ = l.write("end LOGOUT") // the answer does not matter any more
			return err
		}
		return d.ask(ctx, "LOGOUT")
	})
	if err != nil {
		return fmt.Errorf("%s: %w", i.Address, err)
	}
	return nil
}

// session is all between the connection and LOGOUT.
func (i *IMAP) session(ctx context.Context, d *imapDialogue, secure *tls.Config) error {
	if err := d.greet(ctx, secure); err != nil {
		return err
	}
	if !d.has("IMAP4rev1") && !d.has("IMAP4rev2") {
		return fmt.Errorf("CAPABILITY: neither IMAP4rev1 nor IMAP4rev2 in %s", excerpt([]byte(strings.Join(d.capabilities, " "))))
	}
	for _, c := range i.Capabilities {
		if !d.has(c) {
			return fmt.Errorf("CAPABILITY: no %s in %s", c, excerpt([]byte(strings.Join(d.capabilities, " "))))
		}
	}
	if i.User == "" {
		return nil
	}
	if d.preauth {
		return errors.New("greeting: the server takes us for somebody without a login (PREAUTH)")
	}
	password, err := passwordIn(i.PasswordFile)
	if err != nil {
		return err
	}
	d.password, d.response = password, base64.StdEncoding.EncodeToString([]byte("\x00"+i.User+"\x00"+password)) // RFC 4616
	if err := d.ask(ctx, "AUTHENTICATE PLAIN"); err != nil {
		return err
	}
	return d.ask(ctx, "STATUS INBOX (MESSAGES)") // a login alone does not open the mailbox
}

// imapDialogue is a conversation with an IMAP server, and what it has said of itself.
type imapDialogue struct {
	*lines
	preauth      bool
	capabilities []string
	password     string
	response     string // that AUTHENTICATE asks for
	tag          int
}

// has reports whether the server has a capability.
func (d *imapDialogue) has(capability string) bool {
	return slices.ContainsFunc(d.capabilities, func(c string) bool { return strings.EqualFold(c, capability) })
}

// greet goes as far as where the capabilities are known, over TLS if secure is not nil.
func (d *imapDialogue) greet(ctx context.Context, secure *tls.Config) error {
	s := sight(ctx)
	s.waits("a greeting")
	line, err := d.read()
	if err != nil {
		return fmt.Errorf("greeting: %w", explain(ctx, err))
	}
	s.saw("banner", "%s", quotation(line))
	switch status, _, _ := strings.Cut(strings.ToUpper(strings.TrimPrefix(line, "* ")), " "); {
	case !strings.HasPrefix(line, "* "), status != "OK" && status != "PREAUTH" && status != "BYE":
		return fmt.Errorf("greeting: not of IMAP: %s", excerpt([]byte(line)))
	case status == "BYE":
		return fmt.Errorf("greeting: the server is leaving: %s", excerpt([]byte(line)))
	case status == "PREAUTH":
		d.preauth = true
	}
	if err := d.ask(ctx, "CAPABILITY"); err != nil || secure == nil {
		return err
	}
	if !d.has("STARTTLS") {
		return errors.New("STARTTLS: the server does not offer it")
	}
	if err := d.ask(ctx, "STARTTLS"); err != nil {
		return err
	}
	if err := d.startTLS(ctx, secure); err != nil {
		return err
	}
	return d.ask(ctx, "CAPABILITY") // those from before are void (RFC 3501 section 6.2.1)
}

// ask sends a command, and returns nil if the server says OK to it.
func (d *imapDialogue) ask(ctx context.Context, command string) error {
	verb, _, _ := strings.Cut(command, " ")
	d.tag++
	tag := fmt.Sprintf("a%d", d.tag)
	s := sight(ctx)
	s.waits("the answer to %s", verb)
	if err := d.write(tag + " " + command); err != nil {
		return fmt.Errorf("%s: %w", verb, explain(ctx, err))
	}
	for {
		line, err := d.read()
		if err != nil {
			return fmt.Errorf("%s: %w", verb, explain(ctx, err))
		}
		done, err := d.take(verb, tag, line)
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		if done {
			if s != nil {
				s.saw("answer", "to %s: %s", verb, d.excerpt(strings.TrimPrefix(line, tag+" ")))
			}
			return nil
		}
	}
}

// take takes a line of the answer to a command; done if it is the last one.
func (d *imapDialogue) take(verb, tag, line string) (done bool, err error) {
	of, rest, _ := strings.Cut(line, " ")
	word, more, _ := strings.Cut(rest, " ")
	word = strings.ToUpper(word)
	switch {
	case of == tag && word == "OK":
		return true, nil
	case of == tag:
		return false, fmt.Errorf("got %s", d.excerpt(rest))
	case of == "*" && word == "BYE" && verb != "LOGOUT":
		return false, fmt.Errorf("the server is leaving: %s", d.excerpt(rest))
	case of == "*" && word == "CAPABILITY":
		d.capabilities = strings.Fields(more)
	case of == "*": // said unasked
	case of == "+" && verb == "AUTHENTICATE":
		return false, d.write(d.response)
	default:
		return false, fmt.Errorf("not of IMAP: %s", d.excerpt(line))
	}
	return false, nil
}

// excerpt is excerpt of what a server said that knows the password. It may repeat it.
func (d *imapDialogue) excerpt(said string) string {
	if d.password != "" {
		said = strings.NewReplacer(d.response, masked, d.password, masked).Replace(said)
	}
	return excerpt([]byte(said))
}
