package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// frrRetry is the longest time between two looks for a daemon or directory
	// that is not there.
	frrRetry = time.Second
	// frrRetryFirst is the shortest: a socket file appears a moment before the
	// daemon listens on it.
	frrRetryFirst = 10 * time.Millisecond
)

// Watch implements Watcher. It holds an idle connection to each daemon, whose end
// tells of the daemon's end, and looks for new sockets in the directory.
func (f *FRR) Watch(ctx context.Context, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", f.Directory, err)
	}
	defer watcher.Close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	news := make(chan struct{}, 1)
	appeared := map[string]chan struct{}{}
	for _, name := range f.Daemons {
		socket := make(chan struct{}, 1)
		appeared[name] = socket
		wg.Go(func() { f.attend(ctx, name, socket, func() { signal(news) }) })
	}
	return f.watchDirectory(ctx, watcher, appeared, news, changed)
}

// watchDirectory passes on what happens, until ctx is done. The directory may be
// missing, and go and come again: FRR makes it when it starts.
func (f *FRR) watchDirectory(ctx context.Context, watcher *fsnotify.Watcher, appeared map[string]chan struct{}, news <-chan struct{}, changed func()) error {
	tick := time.NewTicker(frrRetry)
	defer tick.Stop()
	for {
		if len(watcher.WatchList()) == 0 {
			watcher.Add(f.Directory) //nolint:errcheck // tried again at the next tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			changed()
		case <-tick.C:
		case event, ok := <-watcher.Events:
			if !ok {
				return errors.New("watching " + f.Directory + ": the watch ended")
			}
			name, isSocket := strings.CutSuffix(filepath.Base(event.Name), ".vty")
			if c := appeared[name]; isSocket && c != nil {
				signal(c)
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return errors.New("watching " + f.Directory + ": the watch ended")
			}
			return fmt.Errorf("watching %s: %w", f.Directory, err)
		}
	}
}

// attend tells when a daemon goes away and when it is back.
func (f *FRR) attend(ctx context.Context, daemon string, appeared <-chan struct{}, tell func()) {
	client := f.vtyOf(daemon)
	pause := frrRetryFirst
	for wasDown := false; ctx.Err() == nil; wasDown = true {
		if conn, err := client.dial(ctx); err == nil {
			since := time.Now()
			hold(ctx, conn, wasDown, tell)
			if time.Since(since) > frrRetry {
				pause = frrRetryFirst
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-appeared:
			pause = frrRetryFirst
		case <-timer.C:
			pause = min(2*pause, frrRetry)
		}
		timer.Stop()
	}
}

// hold keeps a connection until the daemon or ctx ends it.
func hold(ctx context.Context, conn net.Conn, isNew bool, tell func()) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if isNew {
		// watchfrr starts a daemon empty and loads frr.conf into it a little
		// later: what was applied at once may have been overwritten by then.
		for _, after := range []time.Duration{0, time.Second, 5 * time.Second} {
			defer time.AfterFunc(after, tell).Stop()
		}
	}
	for buf := make([]byte, 512); ; {
		if _, err := conn.Read(buf); err != nil {
			break
		}
	}
	if ctx.Err() == nil {
		tell()
	}
}

// signal leaves a token in c, unless one is there already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
