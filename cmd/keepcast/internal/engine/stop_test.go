package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// followed counts the kernel only where there is one, and waits for each daemon.
func TestFollowed(t *testing.T) {
	in := reconcile.Report{Gen: 7, InSync: true}
	for name, tc := range map[string]struct {
		managed bool
		reports map[string]reconcile.Report
		want    bool
	}{
		"nobody has said anything":   {true, nil, false},
		"the kernel alone":           {true, map[string]reconcile.Report{"kernel": in}, false},
		"all":                        {true, map[string]reconcile.Report{"kernel": in, "bird": in}, true},
		"the daemon without kernel":  {false, map[string]reconcile.Report{"bird": in}, true},
		"nobody, without kernel":     {false, nil, false},
		"one that did more":          {false, map[string]reconcile.Report{"bird": {Gen: 8, InSync: true}}, true},
		"one that did less":          {false, map[string]reconcile.Report{"bird": {Gen: 6, InSync: true}}, false},
		"one that could not do that": {false, map[string]reconcile.Report{"bird": {Gen: 7}}, false},
	} {
		b := newHarness(t)
		b.cfg.ManageAddresses = tc.managed
		b.create()
		b.engine.posted.Gen, b.engine.reports = 7, tc.reports
		if got := b.engine.followed(); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// A stop waits for what refuses, but not for ever, and says so.
func TestStopWithFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fail   error
		took   time.Duration
		logged int
	}{
		"all follow":       {nil, 10 * time.Second, 0}, // linger
		"a daemon refuses": {errDead, 20 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(2 * time.Second)
				b.driver.set(func() { b.driver.fail = tc.fail })
				begun := time.Now()
				b.end()
				if took := time.Since(begun); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
				b.wantKernel(address, driver.Absent)
				b.wantLog(1, `level=INFO msg="withdrawing all services"`)
				b.wantLog(tc.logged, `level=ERROR msg="stopping although not everything is withdrawn: see the errors before"`)
			})
		})
	}
}

// A stop takes off also what leaves, before its linger is over.
func TestStopTakesOffWhatLeaves(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32").Linger = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) { c.Services = c.Services[:1] })
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.end()
		b.wantKernel(address, driver.Absent)
		b.wantKernel("192.0.2.54/32", driver.Absent)
	})
}
