package checks

import (
	"context"
	"path/filepath"
	"time"

	"github.com/keepcast/keepcast/driver/frr/vty"
)

// askFRR has a daemon of FRR, such as bgpd, run show commands over its vty socket in the
// directory, and returns an answer to each. It configures nothing. A daemon that does not
// run is an error.
func askFRR(ctx context.Context, directory, daemon string, commands ...string) ([]string, error) {
	client := &vty.Client{Daemon: daemon, Path: filepath.Join(directory, daemon+".vty"), Timeout: time.Hour} // that of ctx is shorter
	s := sight(ctx)
	s.waits("a connection to %s", client.Path)
	if _, err := client.Open(ctx); err != nil {
		return nil, unable(ctx, err)
	}
	defer client.Close()
	s.saw("connected", "to %s", client.Path)
	s.waits("the answer of %s to %q", daemon, commands)
	answers, err := client.Ask(ctx, commands...)
	if err != nil {
		return nil, unable(ctx, err)
	}
	return answers, nil
}
