package checks

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// fakeMain is a service and its main process: "PID load active sub", by turns for each
// question for the process.
type fakeMain struct {
	answers []string
	asked   atomic.Int64
}

func (f *fakeMain) answer(n int64) (pid uint32, states []string) {
	words := strings.Fields(f.answers[min(n, int64(len(f.answers)-1))])
	_, _ = fmt.Sscan(words[0], &pid)
	return pid, words[1:]
}

// Get is the method of org.freedesktop.DBus.Properties.
func (f *fakeMain) Get(iface, property string) (dbus.Variant, *dbus.Error) {
	if iface != sdService || property != "MainPID" {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", nil)
	}
	pid, _ := f.answer(f.asked.Add(1) - 1)
	return dbus.MakeVariant(pid), nil
}

// GetAll is that, too.
func (f *fakeMain) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	_, states := f.answer(f.asked.Load() - 1)
	u := fakeUnit{}
	for i, state := range states {
		u[[]string{"LoadState", "ActiveState", "SubState"}[i]] = dbus.MakeVariant(state)
	}
	return u.GetAll(iface)
}

// service has systemd know a service, of which it gives these answers.
func (f *fakeSystemd) service(t *testing.T, name string, answers ...string) *fakeMain {
	t.Helper()
	at, main := f.unit(t, name, ""), &fakeMain{answers: answers}
	if err := f.conn.Export(main, at, busProps); err != nil {
		t.Fatal(err)
	}
	return main
}

func TestProcessUnit(t *testing.T) {
	noLeaks(t)
	address, _ := drivertest.Bus(t)
	f := startSystemd(t, address)
	program := sleeper(t)
	running, gone := fmt.Sprint(sleeps(t, program).Process.Pid), fmt.Sprint(killed(t))
	words := []string{"RUNNING", running, "GONE", gone, "PROGRAM", program}
	const active, none = " loaded active running", ": set pidfile, or use kind systemd"
	for name, tt := range map[string]struct {
		exe     string
		answers []string
		err     string
	}{
		"runs.service":     {answers: []string{running + active}},
		"program.service":  {exe: program, answers: []string{running + active}},
		"other.service":    {exe: "/none", answers: []string{running + active}, err: "process RUNNING, the main process of other.service, runs PROGRAM, expected /none"},
		"stopping.service": {answers: []string{running + " loaded deactivating stop"}},
		"taken.service":    {answers: []string{gone + active, running + active}},
		"gone.service":     {answers: []string{gone + active}, err: "certain: process GONE, the main process of gone.service, is gone"},
		"comes.service":    {answers: []string{"0 loaded active running", running + active}},
		"exited.service":   {answers: []string{"0 loaded active exited"}, err: "exited.service is active, but systemd knows no main process of it" + none},
		"restarts.service": {answers: []string{"0 loaded activating auto-restart"}, err: "restarts.service is activating (auto-restart), expected active"},
		"dead.service":     {answers: []string{"0 loaded inactive dead"}, err: "certain: dead.service is inactive (dead), expected active"},
		"failed.service":   {answers: []string{"0 loaded failed failed"}, err: "certain: failed.service is failed (failed), expected active"},
		"missing.service": {
			answers: []string{"0 not-found inactive dead"},
			err:     "certain: systemd knows no unit missing.service: is the name right and its package installed?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.service(t, name, tt.answers...)
			failure(t, (&Process{Unit: name, Exe: tt.exe}).Check(within(t)), tt.err, words...)
		})
	}
	t.Run("hangs", func(t *testing.T) {
		failure(t, (&Process{Unit: "hangs.service"}).Check(shortly(t)), "asking systemd for hangs.service: timed out")
	})
	t.Run("no service", func(t *testing.T) {
		f.unit(t, "odd.service", "loaded active running") // it has no method Get
		failure(t, (&Process{Unit: "odd.service"}).Check(within(t)), "asking systemd for the main process of odd.service: Unknown / invalid method 'Get'")
	})
	t.Run("no bus", func(t *testing.T) {
		p := &Process{Unit: "runs.service"}
		failure(t, p.Check(within(t)), "")
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
		failure(t, p.Check(within(t)), "connecting to the system bus: dial unix /nonexistent: connect: no such file or directory")
	})
}
