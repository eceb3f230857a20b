package reconcile

import (
	"context"
	"reflect"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// setDrivers brings the workers in line with the drivers. A driver whose settings did
// not change keeps its worker and its connections.
func (r *Reconciler) setDrivers(ctx context.Context, list []Driver) {
	wanted := map[string]Driver{}
	for _, d := range list {
		wanted[d.Name] = d
	}
	stopped := r.stopWorkers(func(d Driver) bool { return !reflect.DeepEqual(d.Settings, wanted[d.Name].Settings) })
	for _, w := range stopped {
		if _, changed := wanted[w.driver.Name]; !changed {
			w.closeGate(ctx, r.now.forDriver(w.driver.Name).State)
		}
	}
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
	if r.now.Gen > 0 {
		w.desired.Put(r.now.forDriver(d.Name))
	}
	r.workers[d.Name] = w
	w.done.Go(func() { w.run(ctx) })
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

// closeGate closes the gate of a driver that left the configuration, as far as its
// daemon lets it. Last is what was desired of the driver last.
func (w *worker) closeGate(ctx context.Context, last driver.State) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	defer w.disconnect()
	closed := driver.State{Interface: last.Interface}
	for _, route := range last.Routes {
		closed.Routes = append(closed.Routes, absent(route))
	}
	if err := w.driver.Driver.Apply(ctx, closed); err != nil {
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
