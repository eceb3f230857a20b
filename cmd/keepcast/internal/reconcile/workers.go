package reconcile

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// setDrivers brings the workers in line with the drivers. A driver whose settings did
// not change keeps its worker and its connections. The gate of one that left is closed.
func (r *Reconciler) setDrivers(ctx context.Context, list []Driver) {
	wanted := map[string]Driver{}
	for _, d := range list {
		wanted[d.Name] = d
	}
	stopped := r.stopWorkers(func(d Driver) bool {
		now, stays := wanted[d.Name]
		return !stays || !reflect.DeepEqual(d.Settings, now.Settings)
	})
	r.closeGates(ctx, slices.DeleteFunc(stopped, func(w *worker) bool {
		_, stays := wanted[w.driver.Name]
		return stays
	}))
	for _, d := range list {
		if r.workers[d.Name] == nil {
			r.startWorker(ctx, d)
		}
	}
}

func (r *Reconciler) startWorker(ctx context.Context, d Driver) {
	ctx, stop := context.WithCancel(ctx)
	w := &worker{
		driver: d, addressFirst: r.opts.Kernel != nil && d.FollowsAddress,
		log: r.log.With("driver", d.Name), metrics: r.opts.Metrics,
		desired: pace.NewMailbox[Desired](), changed: pace.NewBell(), observeNow: pace.NewBell(), stop: stop,
		state: Report{Driver: d.Name},
	}
	w.report = func(report Report) {
		select {
		case r.reports <- report:
		case <-ctx.Done():
		}
	}
	w.desired.Put(r.now.forDriver(d.Name))
	r.workers[d.Name] = w
	closed := r.closed
	w.done.Go(func() {
		// The gates of removed drivers are closed first: one of the same daemon, under
		// another name, would close what this one opens.
		select {
		case <-closed:
			w.run(ctx)
		case <-ctx.Done():
		}
	})
}

// stopWorkers ends the workers of the drivers that leave, and returns them.
func (r *Reconciler) stopWorkers(leaves func(Driver) bool) (stopped []*worker) {
	for name, w := range r.workers {
		if !leaves(w.driver) {
			continue
		}
		w.stop()
		w.done.Wait()
		w.disconnect()
		delete(r.workers, name)
		stopped = append(stopped, w)
	}
	return stopped
}

// closeGates closes the gates of drivers that left, beside everything else: a daemon that
// hangs holds up no more than the workers that are started after it. A stop does not cut
// it short, for no later keepcast knows these drivers.
func (r *Reconciler) closeGates(ctx context.Context, left []*worker) {
	if len(left) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	now, before, closed := r.now, r.closed, make(chan struct{})
	r.closed = closed
	go func() {
		defer close(closed)
		var each sync.WaitGroup
		for _, w := range left {
			each.Go(func() { w.closeGate(ctx, now.forDriver(w.driver.Name).State) })
		}
		each.Wait()
		<-before
	}()
}

// closeGate closes the gate of a driver that left the configuration, as far as its
// daemon lets it. Last is what was desired of the driver last.
func (w *worker) closeGate(ctx context.Context, last driver.State) {
	defer w.disconnect()
	closed := driver.State{Interface: last.Interface}
	for _, route := range last.Routes {
		closed.Routes = append(closed.Routes, absent(route))
	}
	if err := w.load(ctx, closeTimeout, closed); err != nil {
		w.log.Warn("driver removed from the configuration, but its gate could not be closed", "err", err)
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
