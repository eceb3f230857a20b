// Package ctl is a client of BIRD's control socket: it connects, asks, and reads what BIRD
// replies. What the replies mean is for those who ask.
package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// The codes of BIRD's replies that keepcast tells apart (BIRD: doc/reply_codes).
const (
	CodeReading      = 2    // which file a configuration is read from
	CodeReconfigured = 3    // the new configuration is in force
	CodeInProgress   = 4    // it is, once protocols that had to go down are down
	CodeQueued       = 5    // it will be, after the one that is in progress
	CodeShuttingDown = 6    // it will never be
	CodeStatus       = 13   // the line of "show status" that says what BIRD does
	CodeUndo         = 22   // when an unconfirmed configuration is undone
	CodeValue        = 23   // the value that "eval" found
	CodeBanner       = 1000 // the line of "show status" that says the version
	CodeRouterID     = 1011 // that with the router id
	CodeProtocol     = 1002 // a protocol of "show protocols"
	CodeDetails      = 1006 // of a protocol, of "show protocols all"
	CodeRoute        = 1007 // a route of "show route"
	CodeNoRoute      = 8001
	CodeConfigError  = 8002
	CodeNoProtocol   = 8003
	CodeDenied       = 8007
	CodeSyntaxError  = 9001 // also an expression with an unknown symbol
)

const (
	lineLimit  = 64 << 10 // bytes of a line; BIRD's own are below 1 KiB
	replyLimit = 8 << 20  // bytes of a reply; a route takes about 100
)

// Reply is one whole answer of BIRD.
type Reply struct {
	Code  int // of the last line: what became of the command
	Lines []Line
}

// Line is a line of a reply. One that BIRD sends without a code has that of
// the line before it.
type Line struct {
	Code int
	Text string
}

// Text returns the first line with that code, or "".
func (r Reply) Text(code int) string {
	for _, l := range r.Lines {
		if l.Code == code {
			return l.Text
		}
	}
	return ""
}

// Refusal is a command that BIRD refused, in its own words.
type Refusal struct {
	Command string
	Code    int
	Text    string
}

// Error says which command BIRD refused and why.
func (e *Refusal) Error() string {
	if e.Code == CodeDenied {
		return fmt.Sprintf("bird refuses %q: %s: this control socket is a restricted one, keepcast needs one that may configure", e.Command, e.Text)
	}
	return fmt.Sprintf("bird refuses %q: %s (code %04d)", e.Command, e.Text, e.Code)
}

// RefusalCode returns the code with which BIRD refused a command, or 0 when err is
// something else.
func RefusalCode(err error) int {
	if refused, ok := errors.AsType[*Refusal](err); ok {
		return refused.Code
	}
	return 0
}

// Client talks to BIRD over its control socket. The connection is kept, and
// made anew when BIRD was restarted. It is for one goroutine at a time.
type Client struct {
	Socket  string
	Timeout time.Duration // for one command with its reply
	conn    net.Conn
	in      *bufio.Reader
	Version string // of the BIRD that it was connected to last, by its banner
}

// Ask sends one command and returns the reply. A refusal is a *Refusal
// beside the reply. All commands that keepcast uses may be sent twice, so one that met
// a connection that BIRD had left is sent again over a new one.
func (c *Client) Ask(ctx context.Context, command string) (Reply, error) {
	kept := c.conn != nil
	r, err := c.exchange(ctx, command)
	if err != nil && kept && hungUp(err) {
		r, err = c.exchange(ctx, command)
	}
	if err != nil {
		return r, err
	}
	if r.Code >= 8000 {
		return r, &Refusal{Command: command, Code: r.Code, Text: r.Lines[len(r.Lines)-1].Text}
	}
	return r, nil
}

// exchange is Ask without the second try. After an error the next bytes may still belong
// to this command, so the connection is given up.
func (c *Client) exchange(ctx context.Context, command string) (r Reply, err error) {
	late := fmt.Errorf("no answer within %s: %w", c.Timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, late)
	defer cancel()
	defer func() {
		if err != nil {
			c.Close()
		}
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("asking bird %q on %s: %w", command, c.Socket, context.Cause(ctx))
		}
	}()
	if c.conn == nil {
		if c.conn, c.in, c.Version, err = Open(ctx, c.Socket); err != nil {
			return r, err
		}
	}
	if err = ctx.Err(); err != nil { // hanging up could come too late
		return r, err
	}
	defer context.AfterFunc(ctx, HangUp(c.conn))()
	if _, err = io.WriteString(c.conn, command+"\n"); err != nil {
		return r, fmt.Errorf("sending %q to bird: %w", command, err)
	}
	if r, err = ReadReply(c.in); err != nil {
		return r, fmt.Errorf("reading bird's answer to %q: %w", command, err)
	}
	return r, nil
}

// Close gives the connection up; the next command makes a new one.
func (c *Client) Close() {
	if c.conn != nil {
		HangUp(c.conn)()
	}
	c.conn, c.in = nil, nil
}

// HangUp returns a function that closes conn. What closing has to say is of no
// use: nothing is written that BIRD has not already answered.
func HangUp(conn net.Conn) func() {
	return func() { _ = conn.Close() }
}

// hungUp reports whether err is that of a connection that BIRD has left.
func hungUp(err error) bool {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET, net.ErrClosed} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// Open connects to BIRD's control socket and hears its banner, which tells the
// version, until ctx is done.
func Open(ctx context.Context, socket string) (net.Conn, *bufio.Reader, string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil, "", fmt.Errorf("bird %w: %w", driver.ErrNotRunning, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, "", fmt.Errorf("bird's control socket: %w: %s", err, SocketGroupFix(socket))
	case err != nil:
		return nil, nil, "", fmt.Errorf("bird's control socket: %w", err)
	}
	defer context.AfterFunc(ctx, HangUp(conn))()
	in := bufio.NewReaderSize(conn, lineLimit)
	banner, err := ReadReply(in)
	if err == nil && banner.Code != 1 {
		err = fmt.Errorf("expected the banner 0001, got %04d", banner.Code)
	}
	if err != nil {
		HangUp(conn)()
		return nil, nil, "", fmt.Errorf("bird's banner on %s: %w", socket, err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(banner.Text(banner.Code), "BIRD "), " ")
	return conn, in, version, nil
}

// SocketGroupFix says what lets keepcast use the socket.
func SocketGroupFix(socket string) string {
	info, err := os.Stat(socket)
	if err != nil {
		return "keepcast may not look into its directory"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "the user of keepcast may not write to it"
	}
	group := strconv.Itoa(int(st.Gid))
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("add the user that keepcast runs as to group %s (mode of the socket is %04o) and restart keepcast", group, info.Mode().Perm())
}

// ReadReply reads one reply: lines of four digits and "-", or of a blank and
// a continuation, up to one of four digits and a blank. Lines that begin with
// "+" are sent unasked and belong to no reply.
func ReadReply(in *bufio.Reader) (Reply, error) {
	var r Reply
	for size := 0; size <= replyLimit; {
		line, err := ReadLine(in)
		if err != nil {
			return Reply{}, err
		}
		size += len(line) + 1
		if strings.HasPrefix(line, "+") {
			continue
		}
		if text, ok := strings.CutPrefix(line, " "); ok && len(r.Lines) > 0 {
			r.Lines = append(r.Lines, Line{r.Lines[len(r.Lines)-1].Code, text})
			continue
		}
		code, ok := lineCode(line)
		if !ok {
			return Reply{}, fmt.Errorf("no line of a reply of bird: %.80q", line)
		}
		r.Lines = append(r.Lines, Line{code, line[5:]})
		if line[4] == ' ' {
			r.Code = code
			return r, nil
		}
	}
	return Reply{}, fmt.Errorf("longer than %d MiB", replyLimit>>20)
}

// ReadLine returns the next line without its end.
func ReadLine(in *bufio.Reader) (string, error) {
	b, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a line longer than %d KiB", lineLimit>>10)
	case errors.Is(err, io.EOF) && len(b) > 0:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(b[:len(b)-1]), "\r"), nil
}

// lineCode returns the code that a line begins with.
func lineCode(line string) (code int, ok bool) {
	if len(line) < 5 || line[4] != '-' && line[4] != ' ' {
		return 0, false
	}
	for _, digit := range []byte(line[:4]) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = 10*code + int(digit-'0')
	}
	return code, true
}
