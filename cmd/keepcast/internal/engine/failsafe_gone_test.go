package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Where BIRD did not run, withdraw-all failed, and the removal of the package told of what was
// not withdrawn: a stop of the same host ended as one that had withdrawn everything. A daemon of
// which that is not known, or that has something still, is an error.
func TestFailSafeWithoutDaemon(t *testing.T) {
	const gone = "bird: announces nothing now: bird is not running; neighbors that wait for it to come back (graceful restart) may send here for as long\n"
	off := fmt.Errorf("bird %w", driver.ErrNotRunning)
	for name, tc := range map[string]struct {
		mute       error // of what asks it
		have       bool  // something, as one of several daemons of a driver
		said, want string
	}{
		"does not run": {off, false, gone, ""},
		"one of some":  {off, true, "", "bird: bird is not running"},
		"is not known": {errDead, false, "", "bird: bird is not running"},
		"runs again":   {nil, false, "", "bird: bird is not running"},
	} {
		t.Run(name, func(t *testing.T) {
			crashed(t, func(b *harness, cfg *config.Config) {
				b.driver.fail = off
				d := partly{b.driver, driver.State{}, tc.mute}
				if tc.have {
					d.state.Routes = []driver.Route{{Prefix: netip.MustParsePrefix(address), Presence: driver.Announced}}
				}
				cfg.Drivers = []config.Driver{{Name: "bird", Driver: d}}
				said, err := b.failSafe(cfg)
				if drivertest.ErrText(err) != tc.want || strings.Contains(said, "bird: ") != (tc.said != "") || !strings.Contains(said, tc.said) {
					t.Errorf("said %s, %v, want %s", said, err, tc.want)
				}
				b.wantKernel(address, driver.Absent)
			})
		})
	}
}

// partly is a daemon that tells something beside an error.
type partly struct {
	*fakeDriver
	state driver.State
	err   error
}

func (p partly) Observe(context.Context) (driver.State, error) { return p.state, p.err }
