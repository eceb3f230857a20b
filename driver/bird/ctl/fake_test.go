package ctl

import (
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

const hello = drivertest.BIRDHello

// newFakeBIRD starts a fake, and returns a client of it.
func newFakeBIRD(t *testing.T, answer func(n int, command string) string) (*drivertest.FakeBIRD, *Client) {
	t.Helper()
	f := drivertest.NewFakeBIRD(t, answer)
	c := &Client{Socket: f.Socket, Timeout: 20 * time.Second}
	t.Cleanup(c.Close)
	return f, c
}
