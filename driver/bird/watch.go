package bird

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/pace"
)

// retryInterval is how often BIRD is looked for while it is away, beside the notices
// about its socket: those do not come while the directory is missing, and the
// one that comes is that of a socket that cannot be used yet.
const retryInterval = time.Second

// reopenFirst is the shortest time until BIRD is connected to again after it hung up.
// It grows up to retryInterval while each connection ends soon: something that accepts
// and closes must not be asked without a pause.
const reopenFirst = 10 * time.Millisecond

// Watch calls changed when BIRD is there, is gone, or was reconfigured, by
// whomever. It has a connection of its own, on which BIRD echoes its log lines
// about that, or is asked for it.
func (b *Driver) Watch(ctx context.Context, changed func()) error {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for failures := 1; ; failures++ {
		conn, in, err := b.await(ctx, tick.C)
		if conn == nil {
			return err
		}
		began := time.Now()
		changed()
		listen(ctx, conn, in, tick.C, changed)
		if ctx.Err() != nil {
			return nil
		}
		changed()
		if time.Since(began) > retryInterval {
			failures = 1
		}
		pace.Wait(ctx, pace.Backoff(reopenFirst, retryInterval, failures))
	}
}

// await connects to BIRD as soon as it is there: it looks at each tick and at each
// news of the socket. It returns no connection when ctx is done.
func (b *Driver) await(ctx context.Context, tick <-chan time.Time) (net.Conn, *bufio.Reader, error) {
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, nil, fmt.Errorf("watching for bird's socket: %w", err)
	}
	defer notices.Close()
	for ctx.Err() == nil {
		// Each time, since the directory may be missing or have been made anew.
		_ = notices.Add(filepath.Dir(b.Socket))
		if conn, in := b.tryOpen(ctx); conn != nil {
			return conn, in, nil
		}
		b.pause(ctx, notices, tick)
	}
	return nil, nil, nil
}

// pause waits until there is news of the socket, or it is time to look again.
func (b *Driver) pause(ctx context.Context, notices *fsnotify.Watcher, tick <-chan time.Time) {
	for {
		select {
		case e := <-notices.Events:
			if filepath.Base(e.Name) == filepath.Base(b.Socket) {
				return
			}
		case <-notices.Errors: //nolint:errcheck // notices were lost
			return
		case <-tick:
			return
		case <-ctx.Done():
			return
		}
	}
}

// tryOpen connects to BIRD, or returns nil: why it is away is Apply's to tell.
func (b *Driver) tryOpen(ctx context.Context) (net.Conn, *bufio.Reader) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	conn, in, _, err := ctl.Open(ctx, b.Socket)
	if err != nil {
		return nil, nil
	}
	return conn, in
}

// listen hears what BIRD says unasked, until it hangs up or ctx is done.
func listen(ctx context.Context, conn net.Conn, in *bufio.Reader, tick <-chan time.Time, changed func()) {
	defer ctl.HangUp(conn)()
	defer context.AfterFunc(ctx, ctl.HangUp(conn))()
	if r, err := exchange(conn, in, "echo { info }"); err != nil {
		return
	} else if r.Code >= 8000 { // 3.x has no echo
		poll(ctx, conn, in, tick, changed)
		return
	}
	for {
		line, err := ctl.ReadLine(in)
		if err != nil {
			return
		}
		// "Disabling protocol keepcast_pipe4" and the like are news as well.
		if line == "+Reconfigured" || strings.HasPrefix(line, "+") && strings.Contains(line, "abling protocol keepcast") {
			changed()
		}
	}
}

// poll asks for what listen hears of, at each tick.
func poll(ctx context.Context, conn net.Conn, in *bufio.Reader, tick <-chan time.Time, changed func()) {
	last, err := askRevision(conn, in)
	for err == nil {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		var now revision
		if now, err = askRevision(conn, in); err == nil && !now.same(last) {
			changed()
		}
		last = now
	}
}

// revision is what differs after a reconfiguration, or after birdc disabled a
// protocol of the snippet.
type revision struct{ reconfigured, state, protocols string }

func askRevision(conn net.Conn, in *bufio.Reader) (n revision, err error) {
	var answers [3]ctl.Reply
	for i, command := range []string{"show status", "eval keepcast_state", `show protocols "keepcast*"`} {
		if answers[i], err = exchange(conn, in, command); err != nil {
			return n, err
		}
	}
	for _, l := range answers[0].Lines {
		if when, ok := strings.CutPrefix(l.Text, "Last reconfiguration on "); ok {
			n.reconfigured = when
		}
	}
	n.state = answers[1].Text(ctl.CodeValue)
	for _, p := range readProtocols(answers[2]) {
		n.protocols += " " + p.name + " " + p.state
	}
	return n, nil
}

func (n revision) same(o revision) bool {
	return n.state == o.state && n.protocols == o.protocols && sameTime(n.reconfigured, o.reconfigured)
}

// timeJitter is more than what BIRD's answers differ by about one and the same time:
// it reckons them back from now.
const timeJitter = 10 * time.Millisecond

// sameTime compares two times that BIRD told. In a format of the operator's
// they can only be compared as text, without the fraction of the second.
func sameTime(a, b string) bool {
	one, err := time.Parse(time.DateTime, a)
	two, err2 := time.Parse(time.DateTime, b)
	if err != nil || err2 != nil {
		a, _, _ = strings.Cut(a, ".")
		b, _, _ = strings.Cut(b, ".")
		return a == b
	}
	return one.Sub(two).Abs() < timeJitter
}

// exchange sends a command and reads the reply, whatever it is.
func exchange(conn net.Conn, in *bufio.Reader, command string) (ctl.Reply, error) {
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return ctl.Reply{}, err
	}
	return ctl.ReadReply(in)
}
