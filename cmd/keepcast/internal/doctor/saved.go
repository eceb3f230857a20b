package doctor

import (
	"fmt"
	"os"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// Untrusted returns, for each directory where keepcast saves something, what looks whether
// others may write there: the configuration in it is not believed then.
func Untrusted(cfg *config.Config) []func() *driver.Finding {
	return []func() *driver.Finding{
		func() *driver.Finding {
			return untrusted(cfg.StateDir, "a start with files that are not valid can't go on with what was in force last, and ends")
		},
		func() *driver.Finding {
			return untrusted(cfg.RuntimeDir, "withdraw-all does not go by what was in force and announced last")
		},
	}
}

// saved says which of them others may write, as far as can be known: whom a file may belong
// to is judged for whoever runs doctor, and for the packages' user.
func (h Facts) saved(cfg *config.Config) (out []driver.Finding) {
	if a := h.Account; a.Unknown || a.UID != 0 && int(a.UID) != os.Geteuid() && a.Name != "keepcast" {
		return nil
	}
	for _, look := range Untrusted(cfg) {
		if f := look(); f != nil {
			out = append(out, *f)
		}
	}
	return out
}

// untrusted says why a directory is not believed, and what that leads to; nil: it is.
func untrusted(dir, consequence string) *driver.Finding {
	why := config.Distrusted(dir)
	if why == nil {
		return nil
	}
	return &driver.Finding{
		Name: "directory-untrusted", Level: driver.LevelWarning, Subject: dir,
		Text: fmt.Sprintf("others may write there, so that %s: %v", consequence, why),
		Fix:  fmt.Sprintf("what it says; the directory is best owned by the user that keepcast runs as, with the mode 0750: chmod 0750 %s", dir),
	}
}
