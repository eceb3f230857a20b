package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "udp",
		Doc: "Sends one datagram and waits for an expected answer. Without `expect` an answer is not needed, only that the host does not refuse " +
			"the datagram by ICMP: that proves no more than that something listens on the port, and not even that where a firewall drops " +
			"such messages. A lost datagram is a failure, which `fall` is for.",
		Example: "address: 127.0.0.1:514\nsend: '<14>keepcast\\n'\n",
		New:     func() Checker { return new(UDP) },
		AtOnce:  stopsListening,
	})
}

// UDP is fit when a datagram is answered as expected or, where nothing is expected, is not
// refused.
type UDP struct {
	Address string         `config:"address" required:"true" doc:"Host and port to send to, as in '127.0.0.1:514' or '[::1]:514'."`
	Send    Escaped        `config:"send" required:"true" doc:"What to send in the datagram. The escapes of Go work, as in '\\n' or '\\x00'."`
	Expect  *regexp.Regexp `config:"expect" doc:"Regular expression to wait for in the answers, which are put together. Up to 64 KiB of them are read."`
	Quiet   time.Duration  `config:"quiet" default:"100ms" min:"1ms" max:"1m" doc:"Without 'expect': how long no refusal may come, after which the service is fit. Less than 'timeout'. An answer ends the wait."`
}

// maxDatagrams is how much is read in wait of a match: it has room for the longest datagram.
const maxDatagrams = 64 << 10

// Validate implements Validator.
func (u *UDP) Validate() error {
	if len(u.Send) > 65507 {
		return fmt.Errorf("send: %d bytes are more than a datagram holds, 65507", len(u.Send))
	}
	return validAddress(u.Address, "514")
}

// ValidateWithin implements Timed.
func (u *UDP) ValidateWithin(timeout time.Duration) error {
	if u.Expect != nil {
		return nil
	}
	return quietWithin(u.Quiet, timeout)
}

// quietWithin says that the wait for a refusal would always end by the timeout.
func quietWithin(quiet, timeout time.Duration) error {
	if quiet < timeout {
		return nil
	}
	return fmt.Errorf("quiet: %s is not less than timeout, %s, so that every run would time out", quiet, timeout)
}

// Target implements Aimed.
func (u *UDP) Target() netip.Addr { return targetOf(u.Address) }

// Check implements Checker.
func (u *UDP) Check(ctx context.Context) error {
	if err := u.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", u.Address, err)
	}
	return nil
}

func (u *UDP) talk(ctx context.Context) error {
	conn, err := connect(ctx, "udp", u.Address, nil)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	if _, err := conn.Write([]byte(u.Send)); err != nil {
		return fmt.Errorf("sending: %w", refusal(ctx, err))
	}
	s := sight(ctx)
	if u.Expect != nil {
		s.waits("an answer that matches '%s'", u.Expect)
		got, err := readUntil(conn, u.Expect, maxDatagrams)
		if err != nil {
			return fmt.Errorf("waiting for '%s': %w, got %s", u.Expect, refusal(ctx, err), excerpt(got))
		}
		s.saw("answer", "%s", quotation(got))
		return nil
	}
	answer, err := unrefused(ctx, conn, u.Quiet)
	if err != nil {
		return fmt.Errorf("after sending: %w", refusal(ctx, err))
	}
	if answer != nil {
		s.saw("answer", "%s", quotation(answer))
	}
	return nil
}

// unrefused waits for a time in which a server may refuse what it was sent, or answer.
func unrefused(ctx context.Context, conn net.Conn, quiet time.Duration) (answer []byte, err error) {
	s := sight(ctx)
	s.waits("a refusal, for %s", quiet)
	if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		return nil, err
	}
	answer = make([]byte, maxAnswer)
	n, err := conn.Read(answer)
	switch {
	case err == nil:
		return answer[:n], nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.saw("quiet", "no refusal in %s", quiet)
		return nil, nil
	}
	return nil, err
}

// refusal words the error that an ICMP message makes of a socket, and others as explain does.
func refusal(ctx context.Context, err error) error {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return explain(ctx, err)
	}
	words := errors.New("refused by ICMP: nothing listens on the port")
	if health.IsCertain(refused(ctx, err)) {
		return health.Certain(words)
	}
	return words
}
