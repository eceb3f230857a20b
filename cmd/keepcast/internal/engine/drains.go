package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
)

// drains are the orders to drain: those given by command, which survive a
// reboot, and those of the files in drain.d, which hold while the file is there.
type drains struct {
	commanded map[string]api.Drain
	files     map[string]api.Drain
}

// active returns the drain of a service, or nil. A drain by command takes precedence
// over one by a file, so its reason is shown.
func (d drains) active(service string, now time.Time) *api.Drain {
	for _, source := range []map[string]api.Drain{d.commanded, d.files} {
		if drain, ok := source[service]; ok && !drain.Over(now) {
			return &drain
		}
	}
	return nil
}

// drainFile is where the commanded drains are kept.
func drainFile(stateDir string) string { return filepath.Join(stateDir, "drains.json") }

// loadDrains reads the commanded drains; there are none where there is no file.
func loadDrains(stateDir string, now time.Time) (map[string]api.Drain, error) {
	out := map[string]api.Drain{}
	var list []api.Drain
	if err := loadJSON(drainFile(stateDir), &list); err != nil {
		return out, fmt.Errorf("saved drains: %w", err)
	}
	for _, d := range list {
		if !d.Over(now) {
			out[d.Service] = d
		}
	}
	return out, nil
}

// saveDrains writes the commanded drains so that they last through a reboot.
func saveDrains(stateDir string, commanded map[string]api.Drain) error {
	list := []api.Drain{}
	for _, name := range slices.Sorted(maps.Keys(commanded)) {
		list = append(list, commanded[name])
	}
	return saveJSON(drainFile(stateDir), list)
}

// watchDrainDir calls tell with the drains that the files in dir order: at its start,
// when the directory changes, and each Interval. The directory may be missing. The
// watcher is fsnotify.NewWatcher, except in tests.
func watchDrainDir(ctx context.Context, dir string, watcher func() (*fsnotify.Watcher, error), tell func(map[string]api.Drain, error)) {
	round := time.NewTicker(reconcile.Interval)
	defer round.Stop()
	for ctx.Err() == nil {
		notices, err := watcher()
		if err != nil { // no inotify instance is left: look each Interval
			tell(readDrainDir(dir))
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
func followDrainDir(ctx context.Context, dir string, notices *fsnotify.Watcher, round <-chan time.Time, tell func(map[string]api.Drain, error)) {
	for {
		tell(readDrainDir(dir))
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

// readDrainDir reads the directory. A file that can't be read still drains. If the
// directory is missing, or none is configured (dir is empty), there are no drains.
func readDrainDir(dir string) (map[string]api.Drain, error) {
	out := map[string]api.Drain{}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("drain directory: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		d := api.Drain{Service: e.Name(), File: path, Since: time.Now()}
		if info, err := e.Info(); err == nil {
			d.Since = info.ModTime()
		}
		d.Reason = firstLine(path)
		out[e.Name()] = d
	}
	return out, nil
}

// firstLine returns the first line of a file, cut to what a table can show.
func firstLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := bufio.NewScanner(f)
	line.Scan() // without a line its text is empty
	text := strings.TrimSpace(line.Text())
	return strings.ToValidUTF8(text[:min(len(text), 200)], "?")
}
