package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// Kernel is the kernel's side of a change: addresses, and the local delivery of those
// that are not announced. *kernel.Kernel is one.
type Kernel interface {
	Manage(routes []driver.Route) // look after the interfaces of these from now on
	Observe(ctx context.Context) (driver.State, error)
	Shrink(ctx context.Context, desired driver.State) error // what goes away
	Grow(ctx context.Context, desired driver.State) error   // what is new
	Remind(ctx context.Context, desired driver.State) error // what daemons may have missed
	Recall(ctx context.Context, desired driver.State) error // what daemons may not have seen going
	Watch(ctx context.Context, changed func()) error
}

// shrink removes what goes away. It reports no success: grow does.
func (r *Reconciler) shrink(ctx context.Context) {
	if err := r.opts.Kernel.Shrink(ctx, r.now.forKernel()); err != nil {
		r.failed(ctx, err)
	}
}

// grow adds what is new, and everything that is missing with it.
func (r *Reconciler) grow(ctx context.Context) {
	r.grown, r.actedAt = true, time.Now()
	for _, w := range r.workers {
		w.late = w.reported < r.now.Gen
	}
	if kernel := r.opts.Kernel; kernel != nil {
		// Shrink again: what failed before, or was undone, is done now.
		desired := r.now.forKernel()
		err := errors.Join(kernel.Shrink(ctx, desired), kernel.Grow(ctx, desired))
		r.opts.Metrics.Applied(KernelName, time.Since(r.actedAt), err)
		_, unobserved := r.observe(ctx)
		if err = errors.Join(err, unobserved); err != nil {
			r.failed(ctx, err)
		} else {
			r.succeeded()
		}
	}
	for _, w := range r.workers {
		w.observeNow.Ring()
	}
}

// failed notes that the kernel refused, or can't be asked; next retries it.
func (r *Reconciler) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.failures++
	if r.kernel.Err == nil {
		r.log.Error("kernel not in sync, retrying", "driver", KernelName, "err", err)
		r.kernel.Since = time.Now()
	}
	r.kernel.Err, r.kernel.InSync = err, false
	r.report()
}

func (r *Reconciler) succeeded() {
	if r.kernel.Err != nil {
		r.log.Info("kernel in sync again", "driver", KernelName, "after", r.failures)
	}
	if r.kernel.Err != nil || r.kernel.Since.IsZero() {
		r.kernel.Since = time.Now()
	}
	r.failures = 0
	r.kernel.Err, r.kernel.InSync, r.kernel.Gen = nil, true, r.now.Gen
	r.report()
}

// report tells of the kernel as it was found now.
func (r *Reconciler) report() {
	r.kernel.At = time.Now()
	r.opts.Report(r.kernel)
}

// repair compares the host with what is desired and mends it. Changes of our own bring
// it here too, and are found to be right.
func (r *Reconciler) repair(ctx context.Context) {
	r.actedAt = time.Now()
	switch {
	case r.now.Gen == 0:
		return
	case r.opts.Kernel == nil:
		r.look()
		return
	case !r.grown:
		r.shrink(ctx)
		return
	case r.failures > 0:
		r.grow(ctx)
		return
	}
	differ, err := r.observe(ctx)
	switch {
	case err != nil:
		r.failed(ctx, err)
	case len(differ) == 0:
		r.report()
	default:
		r.opts.Metrics.Repaired(KernelName)
		r.log.Warn("addresses changed by somebody else, putting them right", "driver", KernelName, "addresses", listed(differ))
		r.grow(ctx)
	}
}

// observe asks the kernel what is there, and returns the addresses that are not as desired.
func (r *Reconciler) observe(ctx context.Context) (differ []netip.Prefix, err error) {
	observed, err := r.opts.Kernel.Observe(ctx)
	if err == nil {
		observed.Findings = unclaimed(observed, r.now.State)
	}
	r.seen(observed, err)
	return differing(observed, r.now.forKernel()), err
}

// listedMost is how many addresses a line of the log names.
const listedMost = 5

// listed returns the addresses as a text for the log.
func listed(addresses []netip.Prefix) string {
	var out []string
	for _, a := range addresses[:min(len(addresses), listedMost)] {
		out = append(out, a.String())
	}
	if more := len(addresses) - listedMost; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, " ")
}
