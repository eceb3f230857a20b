package vty

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/trust"
)

// answerMax bounds one answer, in bytes: a running configuration or an IS-IS
// database is far smaller; what is larger is no answer of a sane daemon.
const answerMax = 64 << 20

// statusOK is the status byte of a command that worked (CMD_SUCCESS in FRR).
const statusOK = 0

// Answer is what a daemon said to one command.
type Answer struct {
	Command, Text string
	Status        byte
}

// Client is a client of the vty socket of one FRR daemon, the one vtysh uses. A
// command goes out as text and a zero byte; the answer comes back as text, three
// zero bytes and a status byte. The connection stays open between uses. A vty is
// not safe for concurrent use.
type Client struct {
	Daemon  string
	Path    string
	Timeout time.Duration // for one exchange
	Group   string        // of the socket, frrvty if empty
	conn    net.Conn
	in      *bufio.Reader
}

// Open makes sure of a connection in the enable node. A connection that the
// daemon closed since its last use, by a restart, is replaced; fresh tells that
// this may be another daemon than before.
func (v *Client) Open(ctx context.Context) (fresh bool, err error) {
	if v.conn != nil {
		_, err := v.Run(ctx, "end", "enable")
		if err == nil || !hungUp(err) {
			return false, err
		}
	}
	conn, err := v.dial(ctx)
	if err != nil {
		return true, err
	}
	v.conn, v.in = conn, bufio.NewReaderSize(conn, 64<<10)
	answers, err := v.Run(ctx, "enable")
	if err != nil {
		return true, err
	}
	return true, Refusals(v.Daemon, answers)
}

// dial opens a new connection. Its errors say what an operator has to do.
func (v *Client) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: v.Timeout}
	conn, err := d.DialContext(ctx, "unix", v.Path)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s is not running (socket %s): %w", v.Daemon, v.Path, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: no permission on %s (the user keepcast runs as must be in group %s): %w", v.Daemon, v.Path, cmp.Or(v.Group, "frrvty"), err)
	default:
		return nil, fmt.Errorf("%s: %w", v.Daemon, err)
	}
}

// Run sends commands in one write, so that the daemon works them off together, and
// reads an answer to each. If keepcast dies meanwhile, the daemon drops those that
// it has not come to. The error is one of the connection, which is then closed; what
// the daemon refused is in the answers.
func (v *Client) Run(ctx context.Context, commands ...string) ([]Answer, error) {
	if err := ctx.Err(); err != nil { // the deadline below could come too late
		return nil, v.broken(ctx, commands[0], err)
	}
	if err := v.conn.SetDeadline(time.Now().Add(v.Timeout)); err != nil {
		return nil, v.broken(ctx, commands[0], err)
	}
	conn := v.conn
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // fails only on a closed connection
	defer stop()
	if _, err := io.WriteString(v.conn, strings.Join(commands, "\x00")+"\x00"); err != nil {
		return nil, v.broken(ctx, commands[0], err)
	}
	answers := make([]Answer, 0, len(commands))
	for _, c := range commands {
		text, status, err := readAnswer(v.in)
		if err != nil {
			return answers, v.broken(ctx, c, err)
		}
		answers = append(answers, Answer{Command: c, Text: text, Status: status})
	}
	return answers, nil
}

// Ask runs show commands and returns their texts. Their status is not looked at:
// FRR answers a question about something that is not there with a warning.
func (v *Client) Ask(ctx context.Context, commands ...string) ([]string, error) {
	answers, err := v.Run(ctx, commands...)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(answers))
	for i, a := range answers {
		texts[i] = a.Text
	}
	return texts, nil
}

// Idle waits for so long, and tells whether the connection is still good then. It
// returns at once when the daemon closes it; nothing else comes without a question.
func (v *Client) Idle(ctx context.Context, pause time.Duration) bool {
	if err := v.conn.SetReadDeadline(time.Now().Add(pause)); err != nil {
		return false
	}
	conn := v.conn
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })() //nolint:errcheck // fails only on a closed connection
	_, err := v.in.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil
}

// broken closes the connection, on which question and answer are now out of
// step, and words the error.
func (v *Client) broken(ctx context.Context, command string, err error) error {
	_ = v.Close() // the error that broke it is the one to tell
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %q: %w", v.Daemon, command, context.Cause(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: no answer to %q within %s (socket %s), is it hung: %w", v.Daemon, command, v.Timeout, v.Path, err)
	case hungUp(err):
		return fmt.Errorf("%s closed the connection at %q (socket %s), did it restart: %w", v.Daemon, command, v.Path, err)
	default:
		return fmt.Errorf("%s: %q: %w", v.Daemon, command, err)
	}
}

// Process returns the id of the process that is connected to; 0 without one, and for one
// that is out of sight, in another container.
func (v *Client) Process() int { return trust.PeerProcess(v.conn) }

// Connected reports whether there is a connection.
func (v *Client) Connected() bool { return v.conn != nil }

// Close ends the connection, if there is one.
func (v *Client) Close() error {
	if v.conn == nil {
		return nil
	}
	err := v.conn.Close()
	v.conn, v.in = nil, nil
	return err
}

// notRunning is the error of a daemon that nobody listens for: ErrNotRunning.
type notRunning struct{ error }

// Unwrap returns what the error is.
func (e notRunning) Unwrap() []error { return []error{driver.ErrNotRunning, e.error} }

// Away returns the error of open as notRunning if it says so of this daemon: where
// there is a connection, it was about another one that configures it.
func (v *Client) Away(err error) error {
	if v.conn == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)) {
		return notRunning{err}
	}
	return err
}

// hungUp tells whether err says that the other side is gone.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// readAnswer reads one answer: text without zero bytes, three zero bytes, status.
func readAnswer(r *bufio.Reader) (text string, status byte, err error) {
	var b strings.Builder
	for {
		part, err := r.ReadSlice(0)
		b.Write(part)
		if b.Len() > answerMax {
			return "", 0, fmt.Errorf("the answer is longer than %d bytes", answerMax)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", 0, err
		}
	}
	var tail [3]byte
	if _, err := io.ReadFull(r, tail[:]); err != nil {
		return "", 0, err
	}
	if tail[0] != 0 || tail[1] != 0 {
		return "", 0, errors.New("the answer is not framed as FRR does it (three zero bytes and a status)")
	}
	return strings.TrimSuffix(b.String(), "\x00"), tail[2], nil
}

// Refusals returns an error that names the commands a daemon refused, the first
// few of many, or nil.
func Refusals(daemon string, answers []Answer) error {
	var errs []error
	for _, a := range answers {
		if a.Status == statusOK {
			continue
		}
		if len(errs) == 3 {
			return errors.Join(append(errs, fmt.Errorf("%s refused more", daemon))...)
		}
		text := strings.Join(strings.Fields(a.Text), " ")
		if text == "" {
			text = "no reason given"
		}
		errs = append(errs, fmt.Errorf("%s refused %q: %s (status %d)", daemon, a.Command, text, a.Status))
	}
	return errors.Join(errs...)
}
