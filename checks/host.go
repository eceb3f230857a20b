package checks

import (
	"fmt"
	"os"

	"github.com/keepcast/keepcast/driver/child"
)

// Hosted is a Checker that may need files of this host.
type Hosted interface {
	// Host returns the look at the files that the settings name; nil where they name none.
	// The look returns the paths of the programs that the check runs, and what is wrong with
	// the files. Validate does not look at them: one that is missing for a while makes
	// the check fail, not the configuration.
	Host() (look func() (programs []string, err error))
}

// Host implements Hosted.
func (e *Exec) Host() func() ([]string, error) { return e.look }

func (e *Exec) look() ([]string, error) {
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
func (d *DNS) Host() func() ([]string, error) { return d.TLS.host() }

// Host implements Hosted.
func (h *HTTP) Host() func() ([]string, error) { return h.TLS.host() }

// Host implements Hosted.
func (t *TCP) Host() func() ([]string, error) { return t.TLS.host() }

// host is Host of a check that runs no program. No setting names the certificates of the
// system. To read them all takes a busy host longer than anybody waits for a file.
func (t TLS) host() func() ([]string, error) {
	if t.CA == "" && t.Cert == "" && t.Key == "" {
		return nil
	}
	return func() ([]string, error) {
		_, err := t.config("")
		return nil, err
	}
}
