package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver"
)

// stuckDriver hangs in one of its methods for good, as in a file on a file system that is
// frozen: no deadline ends it.
type stuckDriver struct {
	*fakeDriver
	in    string
	until <-chan struct{}
}

func (d *stuckDriver) hang(in string) {
	if d.in == in {
		<-d.until
	}
}

func (d *stuckDriver) Apply(ctx context.Context, want driver.State) error {
	d.hang("apply")
	return d.fakeDriver.Apply(ctx, want)
}

func (d *stuckDriver) Observe(ctx context.Context) (driver.State, error) {
	d.hang("observe")
	return d.fakeDriver.Observe(ctx)
}

func (d *stuckDriver) Open(driver.Options) {}

func (d *stuckDriver) Close() error {
	d.hang("close")
	return nil
}

// Whatever hangs beside the way from a verdict to the kernel: addresses go and come while
// it does, and nothing of it costs them any time. Here time stands still while keepcast
// works, so any wait at all would show.
func TestNothingStallsTheKernel(t *testing.T) {
	for name, stall := range map[string]func(b *harness, hang <-chan struct{}){
		"nothing": func(*harness, <-chan struct{}) {},
		"the saved state": func(b *harness, hang <-chan struct{}) {
			b.made = func(e *Engine) {
				e.disk.state = store.NewSaver(func(saved) error { <-hang; return nil }, func(error) {})
			}
		},
		"the drains": func(b *harness, hang <-chan struct{}) {
			b.made = func(e *Engine) {
				e.disk.drains = store.NewSaver(func([]order) error { <-hang; return nil }, func(error) {})
			}
		},
		"the configuration that is kept": func(b *harness, hang <-chan struct{}) {
			b.made = func(e *Engine) {
				write := func(*config.Config) error { <-hang; return nil }
				e.disk.inForce, e.disk.lastGood = store.NewSaver(write, func(error) {}), store.NewSaver(write, func(error) {})
			}
		},
		"a driver that applies":    func(b *harness, hang <-chan struct{}) { b.cfg.Drivers[1].Driver.(*stuckDriver).in = "apply" },
		"a driver that is asked":   func(b *harness, hang <-chan struct{}) { b.cfg.Drivers[1].Driver.(*stuckDriver).in = "observe" },
		"a driver that is removed": func(b *harness, hang <-chan struct{}) { b.cfg.Drivers[1].Driver.(*stuckDriver).in = "close" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.keep = true
			c := &fakeCheck{}
			b.service("dns", address, c)
			registry := prometheus.NewRegistry()
			b.registry = registry
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				b.addDriver("stuck", &stuckDriver{fakeDriver: &fakeDriver{journal: b.kernel.journal, name: "stuck"}, until: hang})
				stall(b, hang)
				b.start()
				later(3 * time.Second)
				b.wantKernel(address, driver.Announced)
				comeAndGo(b, c)
				b.reload(func(cfg *config.Config) { cfg.Drivers = cfg.Drivers[:1] }) // which waits for no driver, either
				comeAndGo(b, c)
				close(hang)
				b.end()
				withoutDelay(t, registry)
			})
		})
	}
}

// comeAndGo has the service die and live, and looks whether its address follows at once.
func comeAndGo(b *harness, c *fakeCheck) {
	b.t.Helper()
	for range 3 {
		c.set(errDead)
		later(1300 * time.Millisecond) // two failures
		b.wantKernel(address, driver.Delivered)
		c.set(nil)
		later(3 * time.Second) // three successes, and what an address waits for gates at most
		b.wantKernel(address, driver.Announced)
	}
}

// withoutDelay wants that each verdict reached the kernel in no time.
func withoutDelay(t *testing.T, registry prometheus.Gatherer) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != verdictToKernel.Name {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() < 12 || h.GetSampleSum() != 0 {
			t.Errorf("%d verdicts took %v s to the kernel, want none", h.GetSampleCount(), h.GetSampleSum())
		}
		return
	}
	t.Errorf("no %s", verdictToKernel.Name)
}

// Clients that ask for everything all the time hold nothing up.
func TestClientsStallNothing(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	registry := prometheus.NewRegistry()
	b.registry = registry
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		registry.MustRegister(Collector{b.engine})
		end := make(chan struct{})
		var asking sync.WaitGroup
		for range 5 {
			asking.Go(func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-end:
						return
					case <-tick.C:
						if _, err := b.engine.Status(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		comeAndGo(b, c)
		if n, err := testutil.GatherAndCount(registry, "keepcast_service_state"); n == 0 || err != nil {
			t.Errorf("%d metrics, %v", n, err)
		}
		close(end)
		asking.Wait()
		b.end()
	})
}
