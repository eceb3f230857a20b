package doctor

import (
	"fmt"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// How many descriptors are open at once, at most.
const (
	ownDescriptors    = 32 // log, saved files, netlink, service manager, the runtime of Go
	checkDescriptors  = 6  // a command that starts: its pipe, its process, and what is to be closed in it
	driverDescriptors = 12 // FRR's daemons: one connection to ask, and one to watch each
)

// Descriptors says that a process with that limit may lack descriptors: with a configuration,
// and that many clients at once; nil: it has enough.
func Descriptors(cfg *config.Config, clients int, limit uint64) *driver.Finding {
	checks := cfg.Runs()
	needed := ownDescriptors + clients + checkDescriptors*checks + driverDescriptors*len(cfg.Drivers)
	if limit >= uint64(needed) {
		return nil
	}
	return &driver.Finding{
		Name: "descriptors-few", Level: driver.LevelWarning, Subject: "keepcast",
		Text: fmt.Sprintf("may have %d descriptors, and needs up to %d: %d for itself, %d for clients, %d for each of %d checks, %d for each of %d drivers. "+
			"When none is left checks are void, so that a service that fails stays announced, and no command gets in", limit, needed,
			ownDescriptors, clients, checkDescriptors, checks, driverDescriptors, len(cfg.Drivers)),
		Fix: fmt.Sprintf("LimitNOFILE=%d or more in the unit (systemctl edit keepcast), or a higher ulimit -Hn where it is started by hand; then systemctl restart keepcast: a restart moves no route", needed),
	}
}
