package drivertest

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/keepcast/keepcast/driver"
)

// Rig is a host with a daemon, or a kernel, that nobody has driven yet, and the means to
// look at it without its driver. A driver's package makes one for TestDriver.
//
// The host has all of Addresses on the interface, unless putting them there is what the
// driver does, and the daemon originates Networks once its gate opens.
type Rig struct {
	// New returns a driver with its settings, as a keepcast that starts has it.
	New func() driver.Driver
	// Interface carries the addresses.
	Interface string
	// Templates is the directory of the operator's templates.
	Templates string

	// Announces asks the daemon for all that it announces, the operator's own too, each
	// masked prefix with its MED, 0 where there is none. Where the driver has several
	// daemons, what not all of them announce that carry its family has the MED Partly.
	Announces func() map[netip.Prefix]uint32
	// Dump asks the daemon for all that the driver could change in it, as lines whose order
	// does not matter. What differs from one daemon to the next, such as times, is left out.
	Dump func() []string
	// Changes counts how often the daemon has been told to change or to load anything.
	// Questions do not count.
	Changes func() int

	// Break sees to it that nothing of IPv6 can be added, by a fault that an operator can
	// make. The error of Apply then has to have says in it, which tells him what to mend.
	// Mend mends it.
	Break func() (says string, mend func())
	// Whole is set of a daemon that takes a configuration as a whole or not at all. Any
	// other takes what it can get.
	Whole bool
	// Shuts is set of a Whole one whose driver takes networks away all the same.
	Shuts bool
	// AddressesOnly is set of the kernel, which knows neither attributes nor networks.
	AddressesOnly bool

	// Disturb makes one of several changes that Apply has to undo, as somebody else would,
	// and returns what that was. Nil: nobody else can.
	Disturb func(rnd *rand.Rand) string
	// Stop stops the daemon, and returns what starts it again as a boot does. Nil: it is
	// always there.
	Stop func() (start func())
	// Steps is how long the random walk is; 0: 40.
	Steps int
}

// Partly is the MED of what only some of the daemons of a driver announce.
const Partly = math.MaxUint32

// TestDriver checks all that package driver promises of every driver. Each check has a
// rig of its own. KEEPCAST_SEED has the random walk go the way of a seed that a failure
// names; KEEPCAST_STEPS makes it longer.
func TestDriver(t *testing.T, rig func(t *testing.T) Rig) {
	for _, check := range []struct {
		name string
		run  func(t *testing.T, open func(*testing.T) *trial)
	}{
		{"twice", appliesTwice},         // what is in force is not done again
		{"failed addition", failsToAdd}, // removes all the same, or changes nothing
		{"walk", walks},                 // many states lead where the last of them leads
		{"observe", observes},           // what is observed is so, whoever made it so
		{"ask", asks},                   // changes nothing
		{"render", renders},             // says what Apply writes
		{"close", closes},               // and use again
		{"cancel", cancels},             // leaves nothing half done
		{"watch", watches},              // tells of somebody else's changes
		{"away", misses},                // a daemon that does not run
	} {
		t.Run(check.name, func(t *testing.T) {
			check.run(t, func(t *testing.T) *trial { return newTrial(t, rig(t)) })
		})
	}
}
