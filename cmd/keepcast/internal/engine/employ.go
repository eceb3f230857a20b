package engine

import (
	"context"
	"reflect"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// employ brings the workers in line with the configured drivers. A driver whose
// settings did not change keeps its worker and its connections.
func (r *reconciler) employ(ctx context.Context, list []config.Driver) {
	wanted := map[string]config.Driver{}
	for _, d := range list {
		wanted[d.Name] = d
	}
	gone := r.retire(func(d config.Driver) bool { return !reflect.DeepEqual(d.Raw, wanted[d.Name].Raw) })
	for _, w := range gone {
		if _, changed := wanted[w.cfg.Name]; !changed {
			w.close(ctx, r.now.of(w.cfg.Name).want)
		}
	}
	for _, d := range list {
		if r.workers[d.Name] == nil {
			r.hire(ctx, d)
		}
	}
}

// hire starts a worker.
func (r *reconciler) hire(ctx context.Context, d config.Driver) {
	ctx, stop := context.WithCancel(ctx)
	_, follows := d.Driver.(driver.Follower)
	w := &worker{
		cfg: d, gated: r.kernel != nil && follows, log: r.log.With("driver", d.Name), metrics: r.metrics,
		inbox: newMailbox[task](), poked: newBell(), look: newBell(), stop: stop,
		state: driverReport{name: d.Name},
	}
	w.report = func(d driverReport) {
		select {
		case r.tried <- d:
		case <-ctx.Done():
		}
	}
	if r.now.gen > 0 {
		w.inbox.put(r.now.of(d.Name))
	}
	r.workers[d.Name] = w
	w.done.Go(func() { w.run(ctx) })
}

// retire ends the workers of the drivers that leave, and returns them.
func (r *reconciler) retire(leaves func(config.Driver) bool) (gone []*worker) {
	for name, w := range r.workers {
		if !leaves(w.cfg) {
			continue
		}
		w.stop()
		w.done.Wait()
		w.disconnect()
		delete(r.workers, name)
		gone = append(gone, w)
	}
	return gone
}
