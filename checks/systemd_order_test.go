package checks

import (
	"fmt"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestSystemdStopsAfter(t *testing.T) {
	address, _ := drivertest.Bus(t)
	f := startSystemd(t, address)
	for name, states := range map[string]string{"late.service": "loaded active", "none.service": "loaded active", "gone.service": "not-found inactive"} {
		f.unit(t, name, states)
	}
	f.order(t, "late.service", "shutdown.target", "keepcast.service")
	for name, want := range map[string]string{
		"late.service": "true <nil>", "none.service": "false <nil>", "gone.service": "false systemd has no unit gone.service to order",
	} {
		after, err := (&Systemd{Unit: name}).StopsAfter(within(t), "keepcast.service")
		if got := fmt.Sprint(after, " ", err); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// order has a unit start before others.
func (f *fakeSystemd) order(t *testing.T, name string, before ...string) {
	t.Helper()
	at, _ := f.paths.Load(name)
	u := fakeUnit{"LoadState": dbus.MakeVariant("loaded"), "Before": dbus.MakeVariant(before)}
	if err := f.conn.Export(u, at.(dbus.ObjectPath), busProps); err != nil {
		t.Fatal(err)
	}
}
