package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// Driver is a routing daemon to be kept in sync.
type Driver struct {
	Name   string
	Driver driver.Driver
	// FollowsAddress and NeedsInterface are those of the driver's kind.
	FollowsAddress, NeedsInterface bool
	// Settings tell whether it is the same driver as before: with equal ones it keeps
	// its worker and its connections.
	Settings map[string]any
	// Places are the files and sockets that tell which daemon it is of.
	Places []string
	// Leaving: it is to close its gate, and is then forgotten.
	Leaving bool
}

// Desired is a desired state of the host, and its number: a newer one has a higher.
type Desired struct {
	State driver.State
	// Drivers names the drivers of the services that not all drivers announce.
	Drivers map[string][]string
	// Off are absent addresses that the kernel has let go of. It is not told of them again:
	// whoever puts one on the host has it from then on.
	Off map[netip.Prefix]bool
	Gen int
	// Since is when the first thing happened that the state follows from, such as the
	// result of a check; zero where nothing new is decided.
	Since time.Time
	// Leaving: the driver has left the configuration.
	Leaving bool
}

// announcedBy reports whether the driver of that name announces a service.
func (d Desired) announcedBy(service, name string) bool {
	only := d.Drivers[service]
	return len(only) == 0 || slices.Contains(only, name)
}

// forDriver returns what is desired of one driver. The routes of services that it
// does not announce are absent there, so that it lets go of those it once had.
func (d Desired) forDriver(name string) Desired {
	return d.without(func(r driver.Route) bool { return !d.announcedBy(r.Service, name) })
}

// leaving returns what is desired of a driver that left: that it lets go of everything.
func (d Desired) leaving() Desired {
	d.Leaving = true
	return d.without(func(driver.Route) bool { return true })
}

// without returns the same with some routes absent.
func (d Desired) without(gone func(driver.Route) bool) Desired {
	routes := slices.Clone(d.State.Routes)
	for i, r := range routes {
		if gone(r) {
			r.Presence, r.Degraded, r.Attributes = driver.Absent, false, driver.Attributes{}
			routes[i] = r
		}
	}
	d.State.Routes = routes
	return d
}

// forKernel returns what is desired of the kernel.
func (d Desired) forKernel() driver.State {
	d.State.Routes = slices.DeleteFunc(slices.Clone(d.State.Routes), func(r driver.Route) bool {
		return r.Presence == driver.Absent && d.Off[r.Prefix]
	})
	return d.State
}

// Report is the status of the kernel or a driver.
type Report struct {
	Driver   string
	Settings map[string]any // those of the driver, to tell it from another one of its name
	At       time.Time      // when it was made
	// Leaving: the driver is not in the configuration any more, and goes on until its gate
	// is closed. Gone: it is, or another driver has taken its daemon over.
	Leaving, Gone bool
	// Gen is the newest desired state that a driver tried, or may delay. Of the kernel
	// it is the newest that was carried out.
	Gen        int
	InSync     bool
	Err        error
	Since      time.Time // of Err, or of being in sync
	Unobserved error     // what kept the last observation from being whole
	Observed   Observed
	// missed are announced addresses that the daemon does not know after several
	// observations.
	missed []driver.Route
	from   *worker
	// recall are withdrawn prefixes of which only the address, if it comes and goes once
	// more, tells the daemon that they are.
	recall []netip.Prefix
}
