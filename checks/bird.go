package checks

import (
	"context"
	"time"

	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// askBIRD has BIRD run a show command over its control socket. The session is a restricted
// one, in which BIRD itself refuses whatever would change something. A command that BIRD
// refuses is a *ctl.Refusal, a BIRD that does not run another error.
func askBIRD(ctx context.Context, socket, command string) (ctl.Reply, error) {
	client := &ctl.Client{Socket: socket, Timeout: time.Hour} // that of ctx is shorter
	defer client.Close()
	s := sight(ctx)
	s.waits("a connection to %s", socket)
	if _, err := client.Ask(ctx, "restrict"); err != nil {
		return ctl.Reply{}, unanswering(err)
	}
	s.saw("connected", "to %s, BIRD %s", socket, client.Version)
	s.waits("the answer of bird to %q", command)
	reply, err := client.Ask(ctx, command)
	return reply, unanswering(err)
}
