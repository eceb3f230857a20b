package doctor

import (
	"fmt"

	"github.com/keepcast/keepcast/driver"
)

// Unwatched says that a crash is not seen at once, for the reason why the kernel does not
// tell of it; nil: it does.
func Unwatched(why error) *driver.Finding {
	if why == nil {
		return nil
	}
	return &driver.Finding{
		Name: "sockets-unwatched", Level: driver.LevelWarning, Subject: "keepcast",
		Text: fmt.Sprintf("the kernel does not tell when a service stops listening (%v), so a crash is seen by the next run of a check, not at once", why),
		Fix:  "modprobe -a inet_diag tcp_diag udp_diag, and let the unit have AF_NETLINK (RestrictAddressFamilies=). It is tried again every half minute",
	}
}
