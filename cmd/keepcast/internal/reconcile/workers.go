package reconcile

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// setDrivers brings the workers in line with the drivers. It waits for no worker, for
// one may hang in its daemon or in a file. A driver whose settings did not change keeps
// its worker and its connections. One that left goes on until its gate is closed, unless
// another driver takes over its daemon.
func (r *Reconciler) setDrivers(ctx context.Context, list []Driver) {
	wanted := map[string]Driver{}
	for _, d := range list {
		wanted[d.Name] = d
	}
	for name, w := range r.workers {
		if d, stays := wanted[name]; !stays || d.Leaving || !reflect.DeepEqual(d.Settings, w.driver.Settings) {
			delete(r.workers, name)
			r.leaving = append(r.leaving, w)
		}
	}
	for _, d := range list {
		if d.Leaving { // the keepcast before this one did not get to close its gate
			r.leaving = append(r.leaving, r.startWorker(ctx, d, nil))
		}
	}
	for _, d := range list {
		if r.workers[d.Name] == nil && !d.Leaving {
			r.workers[d.Name] = r.startWorker(ctx, d, r.supersede(d))
		}
	}
	for _, w := range r.leaving {
		w.desired.Put(r.now.leaving())
		r.opts.Report(Report{Driver: w.driver.Name, Settings: w.driver.Settings, Leaving: true, At: time.Now()})
	}
}

// supersede ends the leaving workers of the daemon that d has now, and leaves its gate as
// it is: so a driver that gets another name or other settings moves no route. It returns
// when each is gone, for d must wait for that: two at a time would undo each other's
// work.
func (r *Reconciler) supersede(d Driver) (gone []<-chan struct{}) {
	for _, w := range r.leaving {
		if w.driver.SameDaemon(d) {
			w.stop()
			gone = append(gone, w.gone)
		}
	}
	return gone
}

// SameDaemon reports whether two drivers are of one daemon: they have the same name and
// kind, or a file or a socket in common.
func (d Driver) SameDaemon(other Driver) bool {
	return d.Name == other.Name && d.Settings["kind"] == other.Settings["kind"] ||
		slices.ContainsFunc(d.Places, func(p string) bool { return slices.Contains(other.Places, p) })
}

// startWorker starts the worker of a driver, which waits until those before it are gone.
// It outlives ctx: end stops it.
func (r *Reconciler) startWorker(ctx context.Context, d Driver, before []<-chan struct{}) *worker {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	gone := make(chan struct{})
	w := &worker{
		driver: d, addressFirst: r.opts.Kernel != nil && d.FollowsAddress,
		log: r.log.With("driver", d.Name), metrics: r.opts.Metrics,
		desired: pace.NewMailbox[Desired](), changed: pace.NewBell(), observeNow: pace.NewBell(), stop: stop, gone: gone,
		state:    Report{Driver: d.Name, Settings: d.Settings},
		findings: findings{log: r.log.With("driver", d.Name)},
	}
	w.report = func(report Report) {
		report.At, report.from = time.Now(), w
		select {
		case r.reports <- report:
		case <-ctx.Done():
		}
	}
	w.desired.Put(r.now.forDriver(d.Name))
	go func() {
		defer r.left.Ring()
		defer close(gone)
		for _, previous := range before {
			<-previous
		}
		if ctx.Err() == nil {
			w.run(ctx)
		}
		w.disconnect()
	}()
	return w
}

// forgetLeft forgets the workers that are gone.
func (r *Reconciler) forgetLeft() {
	r.leaving = slices.DeleteFunc(r.leaving, func(w *worker) bool {
		select {
		case <-w.gone:
			r.opts.Report(Report{Driver: w.driver.Name, Settings: w.driver.Settings, Leaving: true, Gone: true})
			return true
		default:
			return false
		}
	})
}

// end stops the workers and waits for them. Those that are closing the gate of a driver
// that left have leaveLimit for it. A worker that hangs even though it was stopped is left
// alone after that: a stop must end.
func (r *Reconciler) end() {
	for _, w := range r.workers {
		w.stop()
		r.leaving = append(r.leaving, w)
	}
	var all sync.WaitGroup
	for _, w := range r.leaving {
		all.Go(func() { <-w.gone })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	for _, limit := range []time.Duration{leaveLimit, stopLimit} {
		if r.ended(done, limit) {
			return
		}
		for _, w := range r.leaving {
			w.stop()
		}
	}
	r.log.Error("a driver hangs, ending without it")
}

// ended takes the workers' last reports, which nobody needs any more, until done is closed.
// It gives up after limit.
func (r *Reconciler) ended(done <-chan struct{}, limit time.Duration) bool {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		select {
		case <-done:
			return true
		case <-r.reports:
		case <-late.C:
			return false
		}
	}
}

// disconnect lets go of what the driver holds open. The driver connects again if need be.
func (w *worker) disconnect() {
	if o, ok := w.driver.Driver.(driver.Opener); ok {
		if err := o.Close(); err != nil {
			w.log.Debug("closing the driver", "err", err)
		}
	}
}
