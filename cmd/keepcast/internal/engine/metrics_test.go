package engine

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// TestMetrics holds what is exported to the declarations and to the conventions
// of Prometheus, and the values to what happened.
func TestMetrics(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", IPv4: true, Up: true}, {Name: "r2", IPv4: true}}
	b.driver.findings = []driver.Finding{{Name: "session-down", Level: driver.LevelWarning, Subject: "bird: r2"}}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		b.registry = registry
		b.start()
		registry.MustRegister(LogDropped(func() float64 { return 0 }), Collector{b.engine})
		later(2 * time.Second)
		c.set(errDead)
		later(5 * time.Second)
		c.set(nil)
		later(5 * time.Second)
		b.kernel.set(func() { clear(b.kernel.have) })
		b.kernel.changed()
		b.engine.opts.Metrics.Reloaded("bird")
		b.engine.opts.Metrics.Applied("bird", time.Millisecond, errDead)
		later(time.Second)

		problems, err := testutil.GatherAndLint(registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v, %v", problems, err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		exported := map[string]string{}
		for _, f := range families {
			exported[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + f.GetHelp()
		}
		for _, list := range [][]Metric{collected, counted} {
			for _, m := range list {
				if exported[m.Name] != m.Type+" "+m.Help {
					t.Errorf("%s is exported as %q, declared as %s %s", m.Name, exported[m.Name], m.Type, m.Help)
				}
				delete(exported, m.Name)
			}
		}
		for name := range exported {
			t.Errorf("%s is exported, but not declared", name)
		}
		want := `
# HELP keepcast_announcement_exported_neighbors Neighbors to whom the daemon exported the prefix when it was last asked. It is missing for a driver that could not be asked.
# TYPE keepcast_announcement_exported_neighbors gauge
keepcast_announcement_exported_neighbors{driver="bird",prefix="192.0.2.53/32",service="dns"} 1
# HELP keepcast_announcement_observed 1 when the kernel or the daemon had the prefix when it was last asked. It does not say that a neighbor was sent it. It is missing for a driver that could not be asked.
# TYPE keepcast_announcement_observed gauge
keepcast_announcement_observed{driver="bird",prefix="192.0.2.53/32",service="dns"} 1
keepcast_announcement_observed{driver="kernel",prefix="192.0.2.53/32",service="dns"} 1
# HELP keepcast_announcement_desired 1 when keepcast has decided that the prefix is announced. It says nothing of the network.
# TYPE keepcast_announcement_desired gauge
keepcast_announcement_desired{prefix="192.0.2.53/32",service="dns"} 1
# HELP keepcast_driver_finding 1 for each finding about the daemon, or about keepcast itself; keepcast status says what to do about it.
# TYPE keepcast_driver_finding gauge
keepcast_driver_finding{driver="bird",finding="session-down",level="warning",subject="bird: r2"} 1
# HELP keepcast_driver_neighbors Neighbors to whom the daemon can announce, by state, up or down.
# TYPE keepcast_driver_neighbors gauge
keepcast_driver_neighbors{driver="bird",state="down"} 1
keepcast_driver_neighbors{driver="bird",state="up"} 1
# HELP keepcast_repairs_total Repairs: something was put right that somebody else had changed.
# TYPE keepcast_repairs_total counter
keepcast_repairs_total{driver="bird"} 0
keepcast_repairs_total{driver="kernel"} 1
# HELP keepcast_service_transitions_total Changes of the service to the state.
# TYPE keepcast_service_transitions_total counter
keepcast_service_transitions_total{service="dns",state="announced"} 2
keepcast_service_transitions_total{service="dns",state="degraded"} 0
keepcast_service_transitions_total{service="dns",state="draining"} 0
keepcast_service_transitions_total{service="dns",state="withdrawn"} 1
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "keepcast_announcement_observed",
			"keepcast_announcement_exported_neighbors", "keepcast_driver_neighbors", "keepcast_driver_finding",
			"keepcast_announcement_desired", "keepcast_repairs_total", "keepcast_service_transitions_total"); err != nil {
			t.Error(err)
		}
		counted := func(name string) float64 { return sumOf(t, registry, name) }
		if ran := float64(c.ran()); counted("keepcast_check_results_total") != ran {
			t.Errorf("%v results counted, want %v", counted("keepcast_check_results_total"), ran)
		}
		before := counted("keepcast_verdict_to_kernel_seconds")
		if err := b.engine.Drain(nil, time.Time{}, "", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Second)
		if got := counted("keepcast_verdict_to_kernel_seconds") - before; got != 1 {
			t.Errorf("an order is timed %v times, want once", got)
		}
		b.end()
	})
}

// TestLintCanFail proves that the lint above would find a bad name.
func TestLintCanFail(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "keepcast_reloads", Help: "A counter without _total."}))
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) == 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}

// sumOf adds up all counters of a name that have all these values among their labels, and how
// often each such histogram was observed.
func sumOf(t *testing.T, registry prometheus.Gatherer, name string, values ...string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && has(m.GetLabel(), values) {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// series returns the series of a registry that have all these values among their labels.
func series(t *testing.T, registry prometheus.Gatherer, values ...string) (found []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if has(m.GetLabel(), values) {
				found = append(found, f.GetName())
			}
		}
	}
	return found
}

// has reports whether all values are among those of the labels.
func has[L interface{ GetValue() string }](labels []L, values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool {
		return !slices.ContainsFunc(labels, func(l L) bool { return l.GetValue() == v })
	})
}

// Each counter of a service is there before the first run of a check: else Prometheus would
// miss the first failure. A void run counts as void.
func TestCountersBeginAtZero(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	b := newHarness(t)
	m.begin(b.service("dns", address, &fakeCheck{}))
	for _, result := range results {
		if got := series(t, registry, "dns", "checka", result); !slices.Equal(got, []string{"keepcast_check_results_total"}) {
			t.Errorf("%s: got %v", result, got)
		}
	}
	if got := series(t, registry, "dns", "checka"); !slices.Contains(got, "keepcast_check_duration_seconds") {
		t.Errorf("got %v", got)
	}
	m.checked("dns", "checka", health.Result{Void: true, Err: errDead})
	m.checked("dns", "checka", health.Result{Err: errDead})
	m.checked("dns", "checka", health.Result{})
	for _, result := range results {
		if got := sumOf(t, registry, "keepcast_check_results_total", result); got != 1 {
			t.Errorf("%s is counted %v times", result, got)
		}
	}
}

// What is counted of a driver begins at zero, and goes with it. The same holds for a check.
func TestCountersGo(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.beginDriver("other")
	want := []string{"keepcast_driver_apply_duration_seconds", "keepcast_driver_apply_errors_total", "keepcast_driver_reloads_total", "keepcast_repairs_total"}
	if diff := cmp.Diff(want, series(t, registry, "other")); diff != "" {
		t.Errorf("of a driver (-want +got):\n%s", diff)
	}
	m.forgetDriver("other")
	if got := series(t, registry, "other"); len(got) > 0 {
		t.Errorf("still there: %v", got)
	}
	b := newHarness(t)
	m.begin(b.service("dns", address, &fakeCheck{}, &fakeCheck{}))
	m.forgetCheck("dns", "checka")
	if got := series(t, registry, "checka"); len(got) > 0 {
		t.Errorf("still there: %v", got)
	}
	if got := series(t, registry, "checkb"); len(got) != 4 {
		t.Errorf("of the other check there is %v", got)
	}
	m.forget("dns")
	if got := series(t, registry, "dns"); len(got) > 0 {
		t.Errorf("still there: %v", got)
	}
}

// What was counted of a driver goes with it, once its gate is closed.
func TestDriverIsForgotten(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.addDriver("other", &fakeDriver{journal: b.kernel.journal, name: "other"})
	registry := prometheus.NewRegistry()
	b.registry = registry
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		if got := series(t, registry, "other"); len(got) == 0 {
			t.Error("nothing is counted of it")
		}
		b.reload(func(c *config.Config) { c.Drivers = c.Drivers[:1] })
		later(2 * time.Second)
		if got := series(t, registry, "other"); len(got) > 0 {
			t.Errorf("still there: %v", got)
		}
		b.end()
	})
}

// A reload keeps what was counted of what stays, begins what is new at zero, and forgets
// what went.
func TestReloadKeepsCounting(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c, &fakeCheck{})
	registry := prometheus.NewRegistry()
	b.registry = registry
	hung := &fakeDriver{journal: b.kernel.journal, name: "other", hang: true}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		added := *b.service("ldap", "192.0.2.54/32", &fakeCheck{})
		b.cfg.Services = b.cfg.Services[:1]
		ran := float64(c.ran())
		b.reload(func(c *config.Config) {
			c.Services[0].Checks = c.Services[0].Checks[:1]
			c.Services = append(c.Services, added)
		})
		b.cfg = b.engine.cfg
		b.reload(func(c *config.Config) {
			c.Drivers = append(c.Drivers, config.Driver{Name: "other", Kind: "other", Driver: hung, Raw: map[string]any{"kind": "other"}})
		})
		if got := sumOf(t, registry, "keepcast_check_results_total", "dns", "checka", results[resultSuccess]); got != ran {
			t.Errorf("%v runs are counted, want %v", got, ran)
		}
		if got := series(t, registry, "checkb"); len(got) > 0 {
			t.Errorf("still there: %v", got)
		}
		if got := series(t, registry, "ldap", results[resultVoid]); len(got) != 1 {
			t.Errorf("of the new service there is %v", got)
		}
		if got := series(t, registry, "other"); len(got) != 4 {
			t.Errorf("of the new driver there is %v", got)
		}
		later(10 * time.Second)
		s, err := b.engine.Status()
		if err != nil || !strings.HasPrefix(s.Drivers[2].Error, "no answer to a change since ") {
			t.Errorf("the new driver is shown as %+v, %v", s.Drivers[2], err)
		}
		hung.set(func() { hung.hang = false })
		b.endLeaving("other may still have 192.0.2.53/32, 192.0.2.54/32: it has not answered")
	})
}
