package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver/pace"
)

// drainDir is what the drain directory has.
type drainDir struct {
	drains map[string]api.Drain
	odd    map[string]string // what is no file, by name, and what it is
	gone   error             // the directory is missing, or none is configured
}

// followDrains takes what the directory orders, until ctx is done. A file system that
// hangs does not hold up the end.
func (e *Engine) followDrains(ctx context.Context, dir string) {
	store.Abandon(ctx, func(ctx context.Context) { watchDrainDir(ctx, dir, fsnotify.NewWatcher, e.drainFiles) })
}

// watchDrainDir calls tell with the drains that the files in dir order: at its start,
// when the directory changes, and each Interval. The directory may be missing. The
// watcher is fsnotify.NewWatcher, except in tests.
func watchDrainDir(ctx context.Context, dir string, watcher func() (*fsnotify.Watcher, error), tell func(drainDir, error)) {
	round := time.NewTicker(reconcile.Interval)
	defer round.Stop()
	for ctx.Err() == nil {
		notices, err := watcher()
		if err != nil { // no inotify instance is left: look each Interval
			lookInto(dir, tell)
			select {
			case <-ctx.Done():
			case <-round.C:
			}
			continue
		}
		_ = notices.Add(dir) // it fails where the directory is missing; tried again each round
		followDrainDir(ctx, dir, notices, round.C, tell)
		_ = notices.Close() // nothing to be done about it
	}
}

// followDrainDir tells the drains until the watch has to be set up anew.
func followDrainDir(ctx context.Context, dir string, notices *fsnotify.Watcher, round <-chan time.Time, tell func(drainDir, error)) {
	for {
		lookInto(dir, tell)
		select {
		case <-ctx.Done():
			return
		case <-notices.Events:
		case <-notices.Errors: //nolint:errcheck // notices were lost: look
		case <-round:
			if len(notices.WatchList()) == 0 { // missing until now, or gone
				return
			}
		}
	}
}

// lookInto reads the directory and tells what is there; if that takes long, it tells so first.
func lookInto(dir string, tell func(drainDir, error)) {
	var found drainDir
	var err error
	store.Attended(pace.Patience,
		func() { tell(drainDir{}, fmt.Errorf("drain directory: %s: %w", dir, pace.ErrHangs)) },
		func() { found, err = readDrainDir(dir) })
	tell(found, err)
}

// drainDirNow returns what the directory orders now, or the error that it does not answer.
func drainDirNow(dir string) (drainDir, error) {
	return pace.Answer(pace.Patience, func() (drainDir, error) { return readDrainDir(dir) })
}

// drainLimit bounds what is looked at in the drain directory.
const drainLimit = 10_000

// readDrainDir reads the directory. A file that can't be read still drains, and so does a
// link, whatever it leads to. If the directory is missing, or none is configured (dir is
// empty), there are no drains.
func readDrainDir(dir string) (drainDir, error) {
	out := drainDir{drains: map[string]api.Drain{}, odd: map[string]string{}}
	entries, err := entriesOf(dir)
	if errors.Is(err, fs.ErrNotExist) {
		out.gone = fmt.Errorf("drain directory: %w", err)
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("drain directory: %w", err)
	}
	if len(entries) == drainLimit {
		return out, fmt.Errorf("drain directory: %s: %d files or more", dir, drainLimit)
	}
	now := time.Now()
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
			continue
		case e.Type() != 0 && e.Type() != fs.ModeSymlink:
			out.odd[e.Name()] = "it is a " + store.Sort(e.Type()) + ", not a file"
			continue
		}
		drain := api.Drain{Service: e.Name(), File: path, Reason: firstLine(path), Since: now}
		if info, err := e.Info(); err == nil {
			drain.Since = soonest(info.ModTime(), now)
		}
		out.drains[e.Name()] = drain
	}
	return out, nil
}

// entriesOf returns what is in a directory, drainLimit of it at most.
func entriesOf(dir string) ([]os.DirEntry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(drainLimit)
	if errors.Is(err, io.EOF) { // it is empty
		err = nil
	}
	return entries, err
}

// firstLine returns the first line of a file, cut to what a table can show. What a link
// leads to is not shown: others may not be allowed to read it.
func firstLine(path string) string {
	f, err := store.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := bufio.NewScanner(io.LimitReader(f, 4096))
	line.Scan() // without a line its text is empty
	text := strings.TrimSpace(line.Text())
	return strings.ToValidUTF8(text[:min(len(text), 200)], "?")
}
