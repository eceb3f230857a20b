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

	"github.com/keepcast/keepcast/driver/pace"
)

const (
	// openRetryMost is the longest time between two attempts at a daemon or directory that
	// is not there.
	openRetryMost = time.Second
	// openRetryFirst is the shortest: a socket file appears a moment before the daemon
	// listens on it.
	openRetryFirst = 10 * time.Millisecond
	// compareInterval is the time between two comparisons of a daemon's running
	// configuration.
	compareInterval = time.Second
	// changedAgain is in how many comparisons a connection to zebra counts as new: what
	// zebra has told a daemon is known a moment after it was connected.
	changedAgain = 4
	// compareShare bounds what the comparisons cost. A daemon does not route while it
	// prints a long configuration. So comparisons take at most 1/compareShare of its
	// time.
	compareShare = 50
)

// Watch implements driver.Watcher. It holds a connection to each daemon, and asks on it
// for the running configuration. When the connection ends, the daemon has ended. It
// looks for new sockets in the directory.
func (s *suite) Watch(ctx context.Context, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", s.settings().directory, err)
	}
	defer watcher.Close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	news := pace.NewBell()
	appeared := map[string]pace.Bell{}
	for _, name := range slices.Concat(s.settings().daemons, s.dialect.watched) {
		bell := pace.NewBell()
		appeared[name] = bell
		wg.Go(func() { s.watchDaemon(ctx, name, bell, news.Ring) })
	}
	if s.dialect.relearns {
		wg.Go(func() { s.watchZebra(ctx, news.Ring) })
	}
	return watchDirectory(ctx, watcher, s.settings().directory, appeared, news, changed)
}

// watchDirectory passes on what happens, until ctx is done. The directory may be missing,
// and go and come again: FRR makes it when it starts.
func watchDirectory(ctx context.Context, watcher *fsnotify.Watcher, directory string, appeared map[string]pace.Bell, news pace.Bell, changed func()) error {
	tick := time.NewTicker(openRetryMost)
	defer tick.Stop()
	ended := errors.New("watching " + directory + ": the watch ended")
	for {
		if len(watcher.WatchList()) == 0 {
			watcher.Add(directory) //nolint:errcheck // tried again at the next tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			changed()
		case <-tick.C:
		case event, ok := <-watcher.Events:
			if !ok {
				return ended
			}
			name, isSocket := strings.CutSuffix(filepath.Base(event.Name), ".vty")
			if bell := appeared[name]; isSocket && bell != nil {
				bell.Ring()
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return ended
			}
			return fmt.Errorf("watching %s: %w", directory, err)
		}
	}
}

// watchDaemon calls changed when a daemon goes away or is not there at first, when it is back, and
// when somebody else changed in it what matters to keepcast.
func (s *suite) watchDaemon(ctx context.Context, name string, appeared pace.Bell, changed func()) {
	d := s.daemon(name)
	failures := 1
	for wasDown := false; ctx.Err() == nil; wasDown = true {
		if err := d.open(ctx); err == nil {
			since := time.Now()
			d.follow(ctx, wasDown, changed)
			if time.Since(since) > openRetryMost {
				failures = 1
			}
		} else if !wasDown && ctx.Err() == nil {
			changed() // it may have gone after what was last applied
		}
		_ = d.close() // nothing was written
		timer := time.NewTimer(pace.Backoff(openRetryFirst, openRetryMost, failures))
		select {
		case <-ctx.Done():
		case <-appeared:
			failures = 1
		case <-timer.C:
			failures++
		}
		timer.Stop()
	}
}

// watchZebra calls changed when a daemon is connected to zebra that was not before, or is
// no longer: a zebra that was restarted alone has forgotten what it was asked for.
func (s *suite) watchZebra(ctx context.Context, changed func()) {
	zebra := s.client(zebraName)
	defer zebra.Close() //nolint:errcheck // nothing was written
	tick := time.NewTicker(compareInterval)
	defer tick.Stop()
	var last []string
	for known, again := false, 0; ; again-- {
		if _, err := zebra.Open(ctx); err == nil {
			texts, err := zebra.Ask(ctx, "show zebra client summary")
			if err == nil {
				now := namesOf(texts[0])
				if known && !slices.Equal(now, last) {
					again = changedAgain
				}
				last, known = now, true
			}
		}
		if again > 0 {
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// follow keeps the connection until the daemon or ctx ends it. Meanwhile it compares what
// runs with what ran before: nothing tells of `systemctl reload frr`, which takes out what
// is not in frr.conf, or of somebody in vtysh.
func (d *daemon) follow(ctx context.Context, isNew bool, changed func()) {
	if isNew {
		// watchfrr starts a daemon empty and loads frr.conf into it a little later: what was
		// applied at once may have been overwritten by then.
		for _, after := range []time.Duration{0, time.Second, 5 * time.Second} {
			defer time.AfterFunc(after, changed).Stop()
		}
	}
	for last, known := "", false; ; known = true {
		asked := time.Now()
		now, err := d.news(ctx)
		if err != nil {
			break
		}
		if known && now != last {
			changed()
		}
		last = now
		if !d.vty.Idle(ctx, max(compareInterval, compareShare*time.Since(asked))) {
			break
		}
	}
	if ctx.Err() == nil {
		changed()
	}
}

// news asks for what changes when an Apply is worth its while: what keepcast has made or
// looks for in the running configuration, or who is connected to zebra.
func (d *daemon) news(ctx context.Context) (string, error) {
	question, own := "show running-config", ownLines
	if d.name == zebraName {
		question, own = zebraClients, servedLines
	}
	texts, err := d.configClient().Ask(ctx, question)
	if err != nil {
		return "", err
	}
	return own(texts[0]), nil
}

// ownLines returns the lines of a running configuration that keepcast has made, or looks
// for, with the blocks that they stand in.
func ownLines(text string) string {
	var b strings.Builder
	eachLine(text, func(blocks []string, line string) {
		where := strings.Join(append(slices.Clone(blocks), line), " / ")
		if strings.Contains(where, mark) || strings.HasPrefix(line, "network ") || strings.HasPrefix(line, "router ") {
			b.WriteString(where + "\n")
		}
	})
	return b.String()
}
