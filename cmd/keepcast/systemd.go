package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/dbus"
)

// systemd tells the service manager how it goes. Without one (no NOTIFY_SOCKET)
// nothing happens.
type systemd struct{}

// notify ignores errors: the manager that can't be told is gone.
func (systemd) notify(state string) { _, _ = sd.SdNotify(false, state) }

func (s systemd) ready() { s.notify(sd.SdNotifyReady) }

// reloading needs the time too: Debian 12 has systemd 252, where the unit
// can't be of Type=notify-reload.
func (s systemd) reloading() {
	s.notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
}

func (s systemd) stopping() { s.notify(sd.SdNotifyStopping) }

func (s systemd) alive() { s.notify(sd.SdNotifyWatchdog) }

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
	c, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	unit, err := c.GetUnitNameByPID(ctx, uint32(os.Getpid()))
	if err != nil {
		return "", err
	}
	jobs, err := c.ListJobsContext(ctx)
	if err != nil {
		return "", err
	}
	for _, j := range jobs {
		if j.Unit == unit {
			return j.JobType, nil
		}
	}
	return "", nil
}
