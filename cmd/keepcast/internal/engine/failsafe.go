package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/trust"
)

// gateCloseTimeout bounds how long one daemon may take to close its gate, when no
// engine runs that could try again.
const gateCloseTimeout = 15 * time.Second

// FailSafe withdraws everything from a host where no Engine runs: what cfg has
// and what the last run left beside it.
type FailSafe struct {
	Config *config.Config
	Kernel reconcile.Kernel // nil: somebody else manages the addresses
	// Linger is how long packets that still arrive are delivered locally.
	Linger time.Duration
	// Tell is called with each step that is done, in words.
	Tell func(format string, args ...any)
	// Open is Options.Open, for drivers that the last run left behind.
	Open func(config.Driver)
}

// WithdrawAll takes the addresses off the interfaces, then closes the gates of all
// daemons. After Linger it takes the local delivery off too; the end of ctx cuts Linger
// short. No fault with one of them holds up the others. The error names everything that
// could not be done.
func (f FailSafe) WithdrawAll(ctx context.Context) error {
	last, notice, err := stateDocument(f.Config.RuntimeDir).Load(nil)
	last = last.on(f.Config.Interface)
	if err != nil {
		err = fmt.Errorf("saved state: %w (going by the configuration and the kernel alone)", err)
	}
	if notice != nil {
		f.Tell("saved state: %v", notice)
	}
	if untrusted := trust.Directory(f.Config.RuntimeDir); untrusted != nil {
		// Whoever may write there would have root take any address off any interface.
		last, err = saved{}, fmt.Errorf("saved state not believed: %w (going by the configuration and the kernel alone)", untrusted)
	}
	errs := []error{err}
	work := context.WithoutCancel(ctx)
	if !f.knows(last) {
		errs = append(errs, f.unknown(work))
	} else if f.Kernel != nil {
		errs = append(errs, f.shrink(work, f.routes(last.onHost(), driver.Delivered)))
	}
	left, err := departed(last, f.Config, f.Open)
	errs = append(errs, err, f.closeGates(work, slices.Concat(f.Config.Drivers, left), f.routes(last, driver.Absent)))
	if f.Kernel == nil {
		return errors.Join(errs...)
	}
	if len(f.routes(last, driver.Absent).Routes) > 0 {
		f.Tell("delivering locally what still arrives, for %s", f.Linger)
		pace.Wait(ctx, f.Linger)
	}
	return errors.Join(append(errs, f.clear(work, last))...)
}

// knows reports whether there is a configuration, or the state of the last run.
func (f FailSafe) knows(last saved) bool {
	return len(f.Config.Services)+len(f.Config.Drivers)+len(last.Services)+len(last.Leaving) > 0
}

// unknown returns what could not be known, and what may have to be withdrawn by hand. An
// address on an interface does not tell who put it there.
func (f FailSafe) unknown(ctx context.Context) error {
	const text = "what keepcast announced is not known: no configuration and no saved state can be read (name them with --config and --runtime-directory)"
	if f.Kernel == nil {
		return errors.New(text)
	}
	observed, err := f.Kernel.Observe(ctx)
	if err != nil {
		return fmt.Errorf("%s, and the kernel can't be asked: %w", text, err)
	}
	var there []string
	for _, r := range observed.Routes {
		if r.Presence == driver.Announced && !r.Prefix.Addr().IsLinkLocalUnicast() {
			there = append(there, r.Prefix.String())
		}
	}
	slices.Sort(there)
	if len(there) == 0 {
		return fmt.Errorf("%s; no address is on %s", text, f.Config.Interface)
	}
	return fmt.Errorf("%s; on %[2]s there still is %[3]s, which \"ip address del ADDRESS dev %[2]s\" takes off", text, f.Config.Interface, strings.Join(there, ", "))
}

// routes returns all that keepcast may have on the host, with that presence. One of the
// prefixes has no address to deliver to.
func (f FailSafe) routes(last saved, presence driver.Presence) driver.State {
	desired := driver.State{Interface: f.Config.Interface}
	type location struct {
		prefix netip.Prefix
		iface  string
	}
	there := map[location]bool{}
	add := func(r driver.Route) {
		if at := (location{r.Prefix, desired.InterfaceOf(r)}); !there[at] {
			there[at] = true
			desired.Routes = append(desired.Routes, r)
		}
	}
	for _, s := range f.Config.Services {
		for _, r := range s.Routes(presence, false) {
			add(r)
		}
	}
	left := last.Leaving
	for _, s := range last.Services {
		left = append(left, s.leavings()...)
	}
	for _, l := range left {
		r := l.route()
		if r.Presence = presence; l.PrefixOnly {
			r.Presence = driver.Absent
		}
		add(r)
	}
	return desired
}

// shrink takes the addresses off the interfaces.
func (f FailSafe) shrink(ctx context.Context, desired driver.State) error {
	if err := f.Kernel.Shrink(ctx, desired); err != nil {
		return err
	}
	f.Tell("kernel: no address is on an interface any more")
	return nil
}

// closeGates has every daemon close its gate, all at the same time. As for a stop, one that
// does not run leaves nothing behind: whatever its neighbors hold, nobody can withdraw it.
func (f FailSafe) closeGates(ctx context.Context, drivers []config.Driver, desired driver.State) error {
	closed, gone := make([]bool, len(drivers)), make([]error, len(drivers))
	err := pace.SideBySide(drivers, func(i int, d config.Driver) error {
		ctx, cancel := context.WithTimeout(ctx, gateCloseTimeout)
		defer cancel()
		if o, ok := d.Driver.(driver.Opener); ok {
			defer o.Close() //nolint:errcheck // what matters is what Apply says
		}
		err := d.Driver.Apply(ctx, desired)
		switch {
		case err == nil:
			closed[i] = true
		case isGone(ctx, d.Driver):
			gone[i] = err
		default:
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		return nil
	})
	for i, d := range drivers {
		switch {
		case closed[i]:
			f.Tell("%s: the gate is closed", d.Name)
		case gone[i] != nil:
			f.Tell("%s: announces nothing now: %v; neighbors that wait for it to come back (graceful restart) may send here for as long", d.Name, gone[i])
		}
	}
	return err
}

// isGone reports whether a daemon is known not to run, so that it announces nothing.
func isGone(ctx context.Context, d driver.Driver) bool {
	observed, err := d.Observe(ctx)
	return errors.Is(err, driver.ErrNotRunning) && len(observed.Announced()) == 0
}

// clear takes the local delivery off, also of addresses that nobody remembers:
// its routes are marked as keepcast's.
func (f FailSafe) clear(ctx context.Context, last saved) error {
	desired := f.routes(last.onHost(), driver.Absent)
	f.Kernel.Manage(desired.Routes)
	observed, err := f.Kernel.Observe(ctx)
	if err != nil {
		return err
	}
	for _, r := range observed.Routes {
		if r.Presence == driver.Delivered {
			r.Presence = driver.Absent
			desired.Routes = append(desired.Routes, r)
		}
	}
	if err := f.Kernel.Shrink(ctx, desired); err != nil {
		return err
	}
	if !f.knows(last) {
		f.Tell("kernel: nothing is left that is marked as keepcast's; addresses have no mark")
		return nil
	}
	f.Tell("kernel: nothing of keepcast is left")
	return nil
}
