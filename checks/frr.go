package checks

import (
	"context"
	"encoding/json"
	"fmt"
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
		return nil, unanswering(err)
	}
	defer func() { _ = client.Close() }() // all has been said
	s.saw("connected", "to %s", client.Path)
	s.waits("the answer of %s to %q", daemon, commands)
	answers, err := client.Ask(ctx, commands...)
	if err != nil {
		return nil, unanswering(err)
	}
	return answers, nil
}

// readFRR reads the JSON that a daemon answered with.
func readFRR(daemon, text string, into any) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("%s does not answer with the JSON of FRR (%w): %s", daemon, err, quotation(text))
	}
	return nil
}
