package checks

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// fakeSystemd is org.freedesktop.systemd1 on a bus.
type fakeSystemd struct {
	conn       *dbus.Conn
	paths      sync.Map // of dbus.ObjectPath by unit name, aliases too
	subscribed chan struct{}
	hangs      <-chan struct{} // the answer for hangs.service waits for it
}

func startSystemd(t *testing.T, address string) *fakeSystemd {
	t.Helper()
	conn, err := dbus.Connect(address, dbus.WithContext(within(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f := &fakeSystemd{conn: conn, subscribed: make(chan struct{}, 10), hangs: t.Context().Done()}
	if err := conn.Export(f, sdPath, sdManager); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(sdName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return f
}

// LoadUnit is the method of the manager.
func (f *fakeSystemd) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	if name == "hangs.service" {
		<-f.hangs
	}
	if at, ok := f.paths.Load(name); ok {
		return at.(dbus.ObjectPath), nil
	}
	return "", dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"Unit name " + name + " is not valid."})
}

// Subscribe is the method of the manager.
func (f *fakeSystemd) Subscribe() *dbus.Error {
	f.subscribed <- struct{}{}
	return nil
}

// fakeUnit answers for the properties of a unit.
type fakeUnit map[string]dbus.Variant

// GetAll is the method of org.freedesktop.DBus.Properties.
func (u fakeUnit) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	if iface != sdUnit {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownInterface", nil)
	}
	return u, nil
}

// unit adds a unit, its load, active and sub state in words.
func (f *fakeSystemd) unit(t *testing.T, name, states string) dbus.ObjectPath {
	t.Helper()
	at := dbus.ObjectPath(sdPath + "/unit/" + strings.NewReplacer(".", "_2e", "-", "_2d").Replace(name))
	f.paths.Store(name, at)
	u := fakeUnit{}
	for i, state := range strings.Fields(states) {
		u[[]string{"LoadState", "ActiveState", "SubState"}[i]] = dbus.MakeVariant(state)
	}
	if err := f.conn.Export(u, at, busProps); err != nil {
		t.Fatal(err)
	}
	return at
}

// signal tells of a change of one property of a unit.
func (f *fakeSystemd) signal(t *testing.T, at dbus.ObjectPath, iface, property string) {
	t.Helper()
	changes := map[string]dbus.Variant{property: dbus.MakeVariant("failed")}
	if err := f.conn.Emit(at, busProps+".PropertiesChanged", iface, changes, []string{}); err != nil {
		t.Fatal(err)
	}
}

func TestSystemd(t *testing.T) {
	noLeaks(t)
	address, _ := drivertest.Bus(t)
	f := startSystemd(t, address)
	for name, tt := range map[string]struct{ states, err string }{
		"active.service":     {states: "loaded active running"},
		"exited.service":     {states: "loaded active exited"},
		"reloading.service":  {states: "loaded reloading reload"},
		"refreshing.service": {states: "loaded refreshing running"},
		"gone.service":       {states: "not-found active running"},
		"starting.service":   {states: "loaded activating start", err: "starting.service is activating (start), expected active"},
		"restarts.service":   {states: "loaded activating auto-restart", err: "restarts.service is activating (auto-restart), expected active"},
		"stopping.service":   {states: "loaded deactivating stop-sigterm", err: "stopping.service is deactivating (stop-sigterm), expected active"},
		"stopped.service":    {states: "loaded inactive dead", err: "stopped.service is inactive (dead), expected active"},
		"failed.service":     {states: "loaded failed failed", err: "failed.service is failed (failed), expected active"},
		"missing.service":    {states: "not-found inactive dead", err: "systemd knows no unit missing.service: is the name right and its package installed?"},
		"masked.service":     {states: "masked inactive dead", err: "masked.service is masked: run systemctl unmask masked.service"},
		"bad.service":        {states: "bad-setting inactive dead", err: "bad.service is not loaded (bad-setting): see systemctl status bad.service"},
		"mute.service":       {states: "loaded", err: "systemd does not tell the state of mute.service"},
	} {
		t.Run(name, func(t *testing.T) {
			f.unit(t, name, tt.states)
			sameError(t, (&Systemd{Unit: name}).Check(within(t)), tt.err, "")
		})
	}
	t.Run("alias", func(t *testing.T) {
		f.paths.Store("bind9.service", f.unit(t, "named.service", "loaded failed failed"))
		err := (&Systemd{Unit: "bind9.service"}).Check(within(t))
		sameError(t, err, "bind9.service is failed (failed), expected active", "")
	})
	t.Run("not valid", func(t *testing.T) {
		err := (&Systemd{Unit: "a b.service"}).Check(within(t))
		sameError(t, err, "asking systemd for a b.service: Unit name a b.service is not valid.", "")
		if health.IsVoid(err) {
			t.Error("void, though systemd has answered")
		}
	})
	t.Run("hangs", func(t *testing.T) {
		err := (&Systemd{Unit: "hangs.service"}).Check(shortly(t))
		isVoid(t, err, "asking systemd for hangs.service: timed out")
	})
}

// isVoid checks that an error is void, and its text.
func isVoid(t *testing.T, err error, want string) {
	t.Helper()
	sameError(t, err, want, "")
	if !health.IsVoid(err) {
		t.Errorf("not void: %v", err)
	}
}

func TestSystemdNoBus(t *testing.T) {
	noLeaks(t)
	unit := &Systemd{Unit: "a.service"}
	t.Run("none", func(t *testing.T) {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
		want := "connecting to the system bus: dial unix /nonexistent: connect: no such file or directory"
		isVoid(t, unit.Check(within(t)), want)
		sameError(t, unit.Watch(within(t), func() {}), want, "")
	})
	t.Run("no systemd on it", func(t *testing.T) {
		drivertest.Bus(t)
		want := "asking systemd for a.service: The name org.freedesktop.systemd1 was not provided by any .service files"
		isVoid(t, unit.Check(within(t)), want)
	})
	t.Run("hangs", func(t *testing.T) {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "bus"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+l.Addr().String())
		isVoid(t, unit.Check(shortly(t)), "connecting to the system bus: timed out")
	})
}

func TestSystemdWatch(t *testing.T) {
	noLeaks(t)
	address, kill := drivertest.Bus(t)
	f := startSystemd(t, address)
	at, other := f.unit(t, "named.service", "loaded active running"), f.unit(t, "other.service", "loaded active running")
	f.paths.Store("bind9.service", at)
	changes := make(chan struct{}, 100)
	watch := func(ctx context.Context) (ended chan error) {
		ended = make(chan error, 1)
		go func() {
			ended <- (&Systemd{Unit: "bind9.service"}).Watch(ctx, func() { changes <- struct{}{} })
		}()
		<-f.subscribed
		<-changes
		return ended
	}

	ctx, cancel := context.WithCancel(within(t))
	ended := watch(ctx)
	stranger, err := dbus.Connect(address, dbus.WithContext(within(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Close() })
	// None of these is a change of the state of the unit. That they were
	// passed over shows in the number of changes when the last one has come.
	if err := stranger.Emit(at, busProps+".PropertiesChanged", uint32(1)); err != nil {
		t.Fatal(err)
	}
	(&fakeSystemd{conn: stranger}).signal(t, at, sdUnit, "ActiveState")
	roundTrip(t, stranger) // the bus has passed on what it passes on
	f.signal(t, other, sdUnit, "ActiveState")
	f.signal(t, at, sdUnit, "Job")
	f.signal(t, at, sdName+".Service", "MainPID")
	f.signal(t, at, sdUnit, "ActiveState")
	f.signal(t, at, sdUnit, "ActiveState")
	<-changes
	<-changes
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("cancelled: got %v", err)
	}
	if n := len(changes); n != 0 {
		t.Errorf("%d changes too many", n)
	}

	ended = watch(within(t))
	kill()
	sameError(t, <-ended, "the connection to the system bus is lost", "")
}

// roundTrip asks the bus something and waits for the answer.
func roundTrip(t *testing.T, conn *dbus.Conn) {
	t.Helper()
	if err := conn.BusObject().CallWithContext(within(t), "org.freedesktop.DBus.GetId", 0).Err; err != nil {
		t.Fatal(err)
	}
}

// TestChangesState meets signals as only a bad neighbor sends them.
func TestChangesState(t *testing.T) {
	const at = dbus.ObjectPath("/a")
	state := map[string]dbus.Variant{"ActiveState": dbus.MakeVariant("failed")}
	for name, tt := range map[string]struct {
		signal dbus.Signal
		want   bool
	}{
		"change":        {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: at, Body: []any{sdUnit, state, []string{}}}, true},
		"other path":    {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: "/b", Body: []any{sdUnit, state, []string{}}}, false},
		"other name":    {dbus.Signal{Name: "a.b", Path: at, Body: []any{sdUnit, state, []string{}}}, false},
		"no body":       {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: at}, false},
		"not a string":  {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: at, Body: []any{[]string{sdUnit}, state}}, false},
		"not a map":     {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: at, Body: []any{sdUnit, "ActiveState"}}, false},
		"other changes": {dbus.Signal{Name: busProps + ".PropertiesChanged", Path: at, Body: []any{sdUnit, map[string]dbus.Variant{}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changesState(&tt.signal, at); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestSystemdValidate(t *testing.T) {
	for unit, want := range map[string]string{
		"unbound.service":      "",
		"getty@tty1.service":   "",
		"multi-user.target":    "",
		"unbound":              `unit: "unbound" has no unit type (unbound.service?)`,
		"www.example.com":      `unit: "www.example.com" has no unit type (www.example.com.service?)`,
		"":                     `unit: "" has no unit type (.service?)`,
		"openvpn@site.example": `unit: "openvpn@site.example" has no unit type (openvpn@site.example.service?)`,
	} {
		t.Run(unit, func(t *testing.T) { sameError(t, (&Systemd{Unit: unit}).Validate(), want, "") })
	}
}
