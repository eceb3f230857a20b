package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// startConfig returns the configuration to start with. If the files of the operator can't
// be it, that is the last good one, and refused says why. What is in the way of that one is
// said on errOut.
func (a *app) startConfig(errOut io.Writer) (cfg *config.Config, refused, err error) {
	cfg, err = config.Load(a.configFile)
	if err == nil {
		return cfg, nil, nil
	}
	good, none := a.goOn()
	switch {
	case none == nil:
		return good, err, nil
	case !errors.Is(none, fs.ErrNotExist):
		fmt.Fprintf(errOut, "keepcast: can't go on with what was in force last: %v\n", none)
	}
	return nil, nil, err
}

// goOn returns what a start goes on with whose files are not valid. The error says why there
// is nothing.
func (a *app) goOn() (*config.Config, error) {
	dir := a.glimpsedDir("state_directory")
	if dir == "" {
		return nil, fmt.Errorf("the files do not say their state_directory: %w", fs.ErrNotExist)
	}
	return config.LastGood(dir)
}

// startsWith says what a start does whose files are not valid.
func (a *app) startsWith() string {
	good, none := a.goOn()
	switch {
	case none == nil:
		return "a start goes on with what was in force last (" + good.Files[0] + ")"
	case errors.Is(none, fs.ErrPermission):
		return "this user may not see what a start would go on with"
	case errors.Is(none, fs.ErrNotExist):
		return "a start ends, for there is nothing that was in force before"
	}
	return fmt.Sprintf("a start ends, for it can't go on with what was in force last: %v", none)
}

// glimpsedDir returns the directory that a setting of files which are not valid names;
// empty where they don't say it, for the default may be that of another keepcast.
func (a *app) glimpsedDir(setting string) string {
	dir, found := config.Glimpse(a.configFile, setting)
	if !found && a.configFile == defaultConfig {
		return config.DefaultOf(setting)
	}
	return dir
}

// lastGood returns the last good configuration for a withdrawal. The error says why it can't
// be gone by, and is fs.ErrNotExist where there is none.
func (a *app) lastGood() (*config.Config, error) {
	dir := a.glimpsedDir("state_directory")
	if dir == "" {
		return nil, fs.ErrNotExist
	}
	return config.LoadSaved(config.LastGoodFile(dir))
}

// tellOfLastGood says that the running keepcast does not go by the files, if that is so.
func (a *app) tellOfLastGood(ctx context.Context, out io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := a.client()
	if err != nil {
		return
	}
	if s, err := client.Status(ctx); err == nil && s.Config.LastGood {
		fmt.Fprintln(out, "note: keepcast was started with files that were not valid, and runs on the last good configuration until a reload: keepcast reload")
	}
}
