package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// manager is what the service manager is told, see sd_notify(3).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

// notified has this process tell the test what it would tell systemd.
func notified(t *testing.T) manager {
	t.Helper()
	at := &net.UnixAddr{Name: drivertest.SocketDir(t) + "/notify", Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", at.Name)
	return manager{t, conn}
}

// told returns what it is told next.
func (m manager) told() string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	text := make([]byte, 4096)
	n, err := m.conn.Read(text)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text[:n])
}

// news returns what it is told next, beside that all is well.
func (m manager) news() string {
	m.t.Helper()
	for {
		if text := m.told(); text != "WATCHDOG=1" {
			return text
		}
	}
}

func (m manager) expect(want string) {
	m.t.Helper()
	if got := m.news(); got != want {
		m.t.Fatalf("the service manager is told %q, want %q", got, want)
	}
}

// monotonic is the time of CLOCK_MONOTONIC in microseconds.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// systemd learns of each step: a start that is over, a reload, which "systemctl reload"
// waits for, and a stop, which may take longer than it grants as long as it gets on.
func TestServiceManagerIsTold(t *testing.T) {
	m := notified(t)
	k := start(t, "on_stop: withdraw\n")
	m.expect("READY=1")
	if got := m.told(); got != "WATCHDOG=1" {
		t.Errorf("told %q, want that it is alive", got)
	}

	before := monotonic(t)
	if _, err := k.client().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	reloading := m.news()
	var when int64
	if _, err := fmt.Sscanf(reloading, "RELOADING=1\nMONOTONIC_USEC=%d", &when); err != nil || when < before || when > monotonic(t) {
		t.Errorf("told %q, want RELOADING=1 and the time", reloading)
	}
	m.expect("READY=1")

	if code := k.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	m.expect("STOPPING=1")
	m.expect("WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000")
}

// The watchdog is fed often enough that one sign of life may get lost.
func TestWatchdog(t *testing.T) {
	for name, tt := range map[string]struct {
		microseconds string
		want         time.Duration
	}{
		"as in the unit": {"10000000", 10 * time.Second / 3},
		"none":           {"", 0},
		"nonsense":       {"often", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
			t.Setenv("WATCHDOG_USEC", tt.microseconds)
			if got := (systemd{}).aliveEvery(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// fakeSystemd is org.freedesktop.systemd1 with one unit, in which this process runs.
type fakeSystemd struct {
	conn *dbus.Conn
	unit dbus.ObjectPath
}

// startSystemd starts a systemd that has a job of that type queued for the unit; ""
// is no job.
func startSystemd(t *testing.T, job string) *fakeSystemd {
	t.Helper()
	address, _ := drivertest.Bus(t)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &fakeSystemd{conn, "/org/freedesktop/systemd1/unit/keepcast_2eservice"}
	id, queued := uint32(0), dbus.ObjectPath("/")
	if job != "" {
		id, queued = 7, "/org/freedesktop/systemd1/job/7"
		s.export(t, properties{"org.freedesktop.systemd1.Job.JobType": dbus.MakeVariant(job)}, queued, "org.freedesktop.DBus.Properties")
	}
	s.export(t, s, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
	s.export(t, properties{"org.freedesktop.systemd1.Unit.Job": dbus.MakeVariant(struct {
		ID   uint32
		Path dbus.ObjectPath
	}{id, queued})}, s.unit, "org.freedesktop.DBus.Properties")
	if reply, err := conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	t.Setenv("INVOCATION_ID", "0123456789abcdef0123456789abcdef")
	return s
}

func (s *fakeSystemd) export(t *testing.T, v any, at dbus.ObjectPath, iface string) {
	t.Helper()
	if err := s.conn.Export(v, at, iface); err != nil {
		t.Fatal(err)
	}
}

// GetUnitByPID is the method of the manager.
func (s *fakeSystemd) GetUnitByPID(pid uint32) (dbus.ObjectPath, *dbus.Error) {
	if pid != uint32(os.Getpid()) {
		return "", dbus.NewError("org.freedesktop.systemd1.NoUnitForPID", []any{fmt.Sprintf("PID %d does not belong to any loaded unit.", pid)})
	}
	return s.unit, nil
}

// properties are those of one object.
type properties map[string]dbus.Variant

// Get is the method of org.freedesktop.DBus.Properties.
func (p properties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	v, ok := p[iface+"."+name]
	if !ok {
		return v, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"Unknown property " + name})
	}
	return v, nil
}

// A restart or an upgrade moves no route, a stop takes them all away.
func TestStopAndRestart(t *testing.T) {
	for job, gate := range map[string]string{"restart": "192.0.2.53/32\n", "stop": ""} {
		t.Run(job, func(t *testing.T) {
			startSystemd(t, job)
			k := start(t, "")
			if code := k.stop(); code != exitOK || k.gate() != gate {
				t.Errorf("exit code %d, the gate lets through %q, want %q", code, k.gate(), gate)
			}
			k.logged("msg=stopping job=" + job)
		})
	}
}

// Where systemd does not tell, a stop is what it seems to be.
func TestWithdraw(t *testing.T) {
	const (
		restarts = "restart"
		stops    = "stop"
	)
	for name, tt := range map[string]struct {
		job     string
		prepare func(t *testing.T, s *fakeSystemd)
		onStop  string
		want    bool
		log     string
	}{
		"a restart":            {restarts, nil, "auto", false, "level=INFO msg=stopping job=restart"},
		"a stop":               {stops, nil, "auto", true, "level=INFO msg=stopping job=stop"},
		"it stopped by itself": {"", nil, "auto", true, `level=INFO msg=stopping job=""`},
		"on_stop: withdraw":    {restarts, nil, "withdraw", true, ""},
		"on_stop: keep":        {stops, nil, "keep", false, ""},
		"not under systemd":    {restarts, func(t *testing.T, _ *fakeSystemd) { t.Setenv("INVOCATION_ID", "") }, "auto", true, ""},
		"no bus": {
			restarts, func(t *testing.T, _ *fakeSystemd) { t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent") }, "auto", true,
			`err="connecting to the system bus: dial unix /nonexistent: connect: no such file or directory"`,
		},
		"no unit": {restarts, func(t *testing.T, s *fakeSystemd) {
			s.export(t, nil, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
		}, "auto", true, `err="own unit: `},
		"no job told": {restarts, func(t *testing.T, s *fakeSystemd) {
			s.export(t, properties{}, s.unit, "org.freedesktop.DBus.Properties")
		}, "auto", true, `err="job of /org/freedesktop/systemd1/unit/keepcast_2eservice: Unknown property Job"`},
		"no type told": {restarts, func(t *testing.T, s *fakeSystemd) {
			s.export(t, properties{}, "/org/freedesktop/systemd1/job/7", "org.freedesktop.DBus.Properties")
		}, "auto", true, `err="type of job 7: Unknown property JobType"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSystemd(t, tt.job)
			if tt.prepare != nil {
				tt.prepare(t, s)
			}
			var log strings.Builder
			got := systemd{}.withdraw(t.Context(), tt.onStop, slog.New(slog.NewTextHandler(&log, nil)))
			if got != tt.want {
				t.Errorf("withdraws: %v, want %v", got, tt.want)
			}
			if strings.Contains(tt.log, "err=") {
				has(t, log.String(), "systemd does not tell whether this is a restart: withdrawing")
			}
			if !strings.Contains(log.String(), tt.log) || tt.log == "" && log.String() != "" {
				t.Errorf("logged %s, want %s", log.String(), tt.log)
			}
		})
	}
}

// A start can't mend a bad configuration, and after a stop that left something announced it
// would announce all of it again: the unit has the fail-safe run then.
func TestUnitDoesNotRestart(t *testing.T) {
	unit := drivertest.ReadFile(t, "../../packaging/systemd/keepcast.service")
	has(t, unit, fmt.Sprintf("\nRestartPreventExitStatus=%d %d\n", exitConfig, exitLeft), "\nRestart=on-failure\n", "\nOnFailure=keepcast-failsafe.service\n")
}

// When a check ate too much memory and the kernel killed it, systemd stopped keepcast, and
// all services of the host were withdrawn (OOMPolicy=stop is what systemd does by itself).
func TestUnitOutlivesItsChecks(t *testing.T) {
	has(t, drivertest.ReadFile(t, "../../packaging/systemd/keepcast.service"), "\nOOMPolicy=continue\n", "\nOOMScoreAdjust=-900\n")
}
