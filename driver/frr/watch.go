package frr

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	// frrLook is the time between two looks at a daemon's running configuration. One
	// that is so long that it takes a while is looked at less often: a daemon does
	// not route while it writes it, so no more than 1 of frrLookShare of its time.
	frrLook      = time.Second
	frrLookShare = 50
)

// Watch implements Watcher. It holds a connection to each daemon, whose end tells of
// the daemon's end and on which it asks what runs, and looks for new sockets in
// the directory.
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

// attend tells when a daemon goes away or is not there at the first look, when it is
// back, and when somebody else changed in it what keepcast looks at.
func (f *FRR) attend(ctx context.Context, daemon string, appeared <-chan struct{}, tell func()) {
	d := f.daemon(daemon)
	pause := frrRetryFirst
	for wasDown := false; ctx.Err() == nil; wasDown = true {
		if err := d.open(ctx); err == nil {
			since := time.Now()
			d.hold(ctx, wasDown, tell)
			if time.Since(since) > frrRetry {
				pause = frrRetryFirst
			}
		} else if !wasDown && ctx.Err() == nil {
			tell() // it may have gone after what was last applied
		}
		_ = errors.Join(d.vty.Close(), d.mgmtd.Close()) // nothing was written
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

// hold keeps the connection until the daemon or ctx ends it. Meanwhile it compares
// what runs with what ran before: nothing tells of `systemctl reload frr`, which
// takes out what is not in frr.conf, or of somebody in vtysh.
func (d *frrDaemon) hold(ctx context.Context, isNew bool, tell func()) {
	if isNew {
		// watchfrr starts a daemon empty and loads frr.conf into it a little
		// later: what was applied at once may have been overwritten by then.
		for _, after := range []time.Duration{0, time.Second, 5 * time.Second} {
			defer time.AfterFunc(after, tell).Stop()
		}
	}
	for last, known := "", false; ; known = true {
		asked := time.Now()
		texts, err := d.config().Ask(ctx, "show running-config")
		if err != nil {
			break
		}
		now := frrMatter(texts[0])
		if known && now != last {
			tell()
		}
		last = now
		if !d.vty.Idle(ctx, max(frrLook, frrLookShare*time.Since(asked))) {
			break
		}
	}
	if ctx.Err() == nil {
		tell()
	}
}

// frrMatter returns the lines of a running configuration that keepcast has made,
// or looks for, with the blocks that they stand in.
func frrMatter(text string) string {
	var b strings.Builder
	frrLines(text, func(blocks []string, line string) {
		where := strings.Join(append(slices.Clone(blocks), line), " / ")
		if strings.Contains(where, frrMark) || strings.HasPrefix(line, "network ") || strings.HasPrefix(line, "router ") {
			b.WriteString(where + "\n")
		}
	})
	return b.String()
}

// signal leaves a token in c, unless one is there already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
