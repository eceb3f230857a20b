package checks

import (
	"fmt"
	"os"

	"github.com/keepcast/keepcast/driver/child"
)

// Hosted is a Checker that needs files of this host.
type Hosted interface {
	// Host returns the paths of the programs that the check runs, and what is wrong with
	// the files that it needs. Validate does not look at them: one that is missing for a
	// while makes the check fail, not the configuration.
	Host() (programs []string, err error)
}

// Host implements Hosted.
func (e *Exec) Host() ([]string, error) {
	if e.Dir != "" {
		if _, err := os.Stat(e.Dir); err != nil {
			return nil, fmt.Errorf("dir: %w", err)
		}
	}
	program, err := child.Look(e.Dir, e.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return []string{program}, nil
}

// Host implements Hosted.
func (d *DNS) Host() ([]string, error) { return nil, d.TLS.readable() }

// Host implements Hosted.
func (h *HTTP) Host() ([]string, error) { return nil, h.TLS.readable() }

// Host implements Hosted.
func (t *TCP) Host() ([]string, error) { return nil, t.TLS.readable() }

// readable says why the files can't be used.
func (t TLS) readable() error {
	_, err := t.config("")
	return err
}
