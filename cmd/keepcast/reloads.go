package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// reloads has the configuration loaded anew, once at a time, by a goroutine of its own:
// reading it may hang, and those who order it must not pile up behind that.
type reloads struct {
	load  func() error
	asked chan chan<- error         // has room for the one that is ordered
	begun atomic.Pointer[time.Time] // when that was; nil: none is
	ended chan struct{}             // closed when nobody loads any more
}

func newReloads(load func() error) *reloads {
	return &reloads{load: load, asked: make(chan chan<- error, 1), ended: make(chan struct{})}
}

// reloadLimit is how long who orders a reload waits for what becomes of it: less than the
// command does, which would take keepcast for one that hangs.
const reloadLimit = 8 * time.Second

// whereToLook is for those who do not learn what becomes of a reload.
const whereToLook = `the log tells what becomes of it, "keepcast status" what is in force`

// order has the configuration loaded anew, and returns what becomes of it. While another
// order is at work it is refused at once: what that one has read may be older than what is
// to be loaded. Nobody waits for a reload that hangs, nor on behalf of who has gone, as ctx
// says.
func (r *reloads) order(ctx context.Context) error {
	now := time.Now()
	if !r.begun.CompareAndSwap(nil, &now) {
		before := now // if that one has just ended
		if begun := r.begun.Load(); begun != nil {
			before = *begun
		}
		return fmt.Errorf("another reload is at work, for %s by now, and this one is refused: it may have read the files before they changed. Reload again once it has ended (%s; if it does not end, a file system hangs)",
			now.Sub(before).Round(time.Second), whereToLook)
	}
	answer := make(chan error, 1)
	r.asked <- answer
	late := time.NewTimer(reloadLimit)
	defer late.Stop()
	select {
	case err := <-answer:
		return err
	case <-r.ended:
		return api.ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fmt.Errorf("the reload has not ended after %s, and goes on: a file system of the configuration hangs, or the host is very busy (%s)", reloadLimit, whereToLook)
	}
}

// run loads the configuration anew at every SIGHUP and order until ctx is done.
func (r *reloads) run(ctx context.Context, hangups <-chan os.Signal) {
	defer close(r.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_ = r.load() // the log has it
		case answer := <-r.asked:
			err := r.load()
			r.begun.Store(nil)
			answer <- err
		}
	}
}

// reload loads the configuration anew, and tells log and service manager.
func (d *daemon) reload() error {
	d.systemd.reloading()
	defer d.systemd.ready()
	err := d.load()
	if err != nil {
		d.log.Error("reload refused, the old configuration stays in force", "err", err)
	}
	return err
}

// load loads the configuration anew. The error says why the old one stays.
func (d *daemon) load() error {
	cfg, err := d.app.validated(false)
	if err != nil {
		if stopped := d.engine.ReloadFailed(err); stopped != nil {
			return stopped
		}
		return err
	}
	equip(cfg, d.open)
	if err := d.engine.Reload(cfg); err != nil {
		return err
	}
	d.level.Set(levelOf(cfg.LogLevel))
	d.descriptors.compare(cfg)
	d.log.Info("configuration reloaded", "files", len(cfg.Files), "services", len(cfg.Services))
	return nil
}
