package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/godbus/dbus/v5"

	"github.com/keepcast/keepcast/checks"
)

// systemd tells the service manager how it goes. Without one (no NOTIFY_SOCKET)
// nothing happens. A manager that does not read is not waited for: what it has no room
// for is dropped. The zero systemd tells nobody.
type systemd struct{ states chan string }

// newSystemd returns a systemd whose run tells the manager.
func newSystemd() systemd { return systemd{states: make(chan string, 16)} }

// run tells the manager until ctx is done, and then what is left. Errors are ignored: the
// manager that can't be told is gone.
func (s systemd) run(ctx context.Context) {
	for {
		select {
		case state := <-s.states:
			_, _ = sd.SdNotify(false, state)
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return
		case state := <-s.states:
			_, _ = sd.SdNotify(false, state)
		}
	}
}

// moreTime is what a stop that still gets on is given at each sign of life
// (sd_notify(3), EXTEND_TIMEOUT_USEC): linger may be longer than TimeoutStopSec.
const moreTime = 30 * time.Second

func (s systemd) notify(state string) {
	select {
	case s.states <- state:
	default:
	}
}

func (s systemd) ready() { s.notify(sd.SdNotifyReady) }

// reloading needs the time too: Debian 12 has systemd 252, where the unit
// can't be of Type=notify-reload.
func (s systemd) reloading() {
	s.notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
}

func (s systemd) stopping() { s.notify(sd.SdNotifyStopping) }

// alive feeds the watchdog, and has a stop that is under way not be cut short.
func (s systemd) alive(stopping bool) {
	state := sd.SdNotifyWatchdog
	if stopping {
		state += fmt.Sprintf("\nEXTEND_TIMEOUT_USEC=%d", moreTime.Microseconds())
	}
	s.notify(state)
}

// aliveEvery is a third of the unit's WatchdogSec; 0 without one.
func (systemd) aliveEvery() time.Duration {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return every / 3
}

// withdraw decides what a stop does: with auto everything is withdrawn, unless
// systemd is about to start the unit again.
func (systemd) withdraw(ctx context.Context, onStop string, log *slog.Logger) bool {
	if onStop != "auto" {
		return onStop == "withdraw"
	}
	if os.Getenv("INVOCATION_ID") == "" {
		return true
	}
	job, err := ownJob(ctx)
	if err != nil {
		log.Warn("systemd does not tell whether this is a restart: withdrawing", "err", err)
		return true
	}
	log.Info("stopping", "job", job)
	return job != "restart"
}

// ownJob returns the type of the job that systemd has queued for this unit:
// while a unit stops it is stop or restart. Empty: none.
func ownJob(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := checks.SystemBus(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	const name = "org.freedesktop.systemd1"
	var unit dbus.ObjectPath
	manager := conn.Object(name, "/org/freedesktop/systemd1")
	if err := manager.CallWithContext(ctx, name+".Manager.GetUnitByPID", 0, uint32(os.Getpid())).Store(&unit); err != nil {
		return "", fmt.Errorf("own unit: %w", err)
	}
	var job struct {
		ID   uint32 // 0: none is queued
		Path dbus.ObjectPath
	}
	if err := conn.Object(name, unit).StoreProperty(name+".Unit.Job", &job); err != nil {
		return "", fmt.Errorf("job of %s: %w", unit, err)
	}
	if job.ID == 0 {
		return "", nil
	}
	var kind string
	if err := conn.Object(name, job.Path).StoreProperty(name+".Job.JobType", &kind); err != nil {
		return "", fmt.Errorf("type of job %d: %w", job.ID, err)
	}
	return kind, nil
}
