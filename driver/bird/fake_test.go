package bird

import (
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const hello = drivertest.BIRDHello

// newFakeBIRD starts a fake, and returns a client of it.
func newFakeBIRD(t *testing.T, answer func(n int, command string) string) (*drivertest.FakeBIRD, *ctl.Client) {
	t.Helper()
	f := drivertest.NewFakeBIRD(t, answer)
	c := &ctl.Client{Socket: f.Socket, Timeout: 20 * time.Second}
	t.Cleanup(c.Close)
	return f, c
}
