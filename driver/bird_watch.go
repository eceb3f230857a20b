package driver

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// birdRetry is how often BIRD is looked for while it is away, beside the notices
// about its socket: those do not come while the directory is missing, and the
// one that comes is that of a socket that cannot be used yet.
const birdRetry = time.Second

// Watch calls changed when BIRD is there, is gone, or was reconfigured, by
// whomever. It has a connection of its own, on which BIRD echoes its log lines
// about that.
func (b *BIRD) Watch(ctx context.Context, changed func()) error {
	for {
		conn, in := b.await(ctx)
		if conn == nil {
			return nil
		}
		changed()
		listenBIRD(ctx, conn, in, changed)
		if ctx.Err() != nil {
			return nil
		}
		changed()
	}
}

// await connects to BIRD as soon as it is there. It returns nil when ctx is done.
func (b *BIRD) await(ctx context.Context) (net.Conn, *bufio.Reader) {
	var (
		news   <-chan fsnotify.Event
		faults <-chan error
	)
	// Where the kernel gives no more watches, the ticker alone must do.
	notices, err := fsnotify.NewWatcher()
	if err == nil {
		defer notices.Close()
		news, faults = notices.Events, notices.Errors
	} else {
		b.log.Warn("no notices about bird's socket, it is looked for instead", "socket", b.Socket, "every", birdRetry, "err", err)
	}
	tick := time.NewTicker(birdRetry)
	defer tick.Stop()
	for ctx.Err() == nil {
		if notices != nil {
			_ = notices.Add(filepath.Dir(b.Socket)) // a directory that is missing is tried again
		}
		if conn, in := b.tryOpen(ctx); conn != nil {
			return conn, in
		}
		for waiting := true; waiting; {
			select {
			case e := <-news:
				waiting = filepath.Base(e.Name) != filepath.Base(b.Socket)
			case <-faults: // lost notices: look
				waiting = false
			case <-tick.C:
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
	}
	return nil, nil
}

// tryOpen connects to BIRD, or returns nil: why it is away is Apply's to tell.
func (b *BIRD) tryOpen(ctx context.Context) (net.Conn, *bufio.Reader) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	conn, in, err := openBIRD(ctx, b.Socket)
	if err != nil {
		return nil, nil
	}
	return conn, in
}

// listenBIRD reads what BIRD says unasked, until it hangs up or ctx is done.
func listenBIRD(ctx context.Context, conn net.Conn, in *bufio.Reader, changed func()) {
	defer hangUp(conn)()
	defer context.AfterFunc(ctx, hangUp(conn))()
	// A BIRD that does not know echo says so and is only watched for its end.
	if _, err := conn.Write([]byte("echo { info }\n")); err != nil {
		return
	}
	for {
		line, err := readBIRDLine(in)
		if err != nil {
			return
		}
		// "Disabling protocol keepcast_pipe4" and the like are news as well.
		if line == "+Reconfigured" || strings.HasPrefix(line, "+") && strings.Contains(line, "abling protocol keepcast") {
			changed()
		}
	}
}
