package engine

import (
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
)

// measured returns the value of each metric, of a histogram how often it was observed. The
// names are followed by the values of the labels, in the order of the labels' names.
func measured(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

func TestCollector(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{}, &fakeCheck{err: errDead}).Checks[1].OnFailure = "degrade"
	b.service("ldap", "192.0.2.54/32")
	b.driver.findings = []driver.Finding{{Name: "session-down", Level: driver.LevelWarning, Subject: "r\xff"}}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b.registry = registry
		later(250 * time.Millisecond)
		b.start()
		registry.MustRegister(Collector{b.engine})
		later(2 * time.Second)
		if err := b.engine.Drain([]string{"ldap"}, time.Time{}, "", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		got := measured(t, registry)
		for key, want := range map[string]float64{
			"keepcast_build_info " + runtime.Version() + " test":      1,
			"keepcast_config_last_reload_successful":                  1,
			"keepcast_config_last_reload_success_timestamp_seconds":   946684800.25,
			"keepcast_service_drained dns":                            0,
			"keepcast_service_drained ldap":                           1,
			"keepcast_service_state dns announced":                    0,
			"keepcast_service_state dns degraded":                     1,
			"keepcast_service_state ldap withdrawn":                   1,
			"keepcast_check_up checka dns":                            1,
			"keepcast_check_up checkb dns":                            0,
			"keepcast_driver_in_sync bird":                            1,
			"keepcast_driver_finding bird session-down warning r?":    1,
			"keepcast_announcement_desired 192.0.2.53/32 dns":         1,
			"keepcast_announcement_desired 192.0.2.54/32 ldap":        0,
			"keepcast_announcement_observed bird 192.0.2.54/32 ldap":  0,
			"keepcast_announcement_observed kernel 192.0.2.53/32 dns": 1,
		} {
			if value, there := got[key]; value != want || !there {
				t.Errorf("%s is %v (%t), want %v", key, value, there, want)
			}
		}
		if err := b.engine.ReloadFailed(errDead); err != nil {
			t.Fatal(err)
		}
		if measured(t, registry)["keepcast_config_last_reload_successful"] != 0 {
			t.Error("a reload that failed counts as a success")
		}
		b.end()
		if n := testutil.CollectAndCount(Collector{b.engine}); n > 0 {
			t.Errorf("an engine that has ended has %d metrics", n)
		}
	})
}

func TestCollectorDescribes(t *testing.T) {
	described := make(chan *prometheus.Desc, len(collected))
	Collector{}.Describe(described)
	if len(described) != len(collected) {
		t.Errorf("%d of %d gauges are described", len(described), len(collected))
	}
}

func TestCounters(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.Applied("bird", time.Second, nil)
	m.Applied("bird", time.Second, errDead)
	m.Applied("frr", time.Second, nil)
	m.Repaired("kernel")
	m.Reloaded("bird")
	m.Reached(time.Millisecond)
	for _, err := range []error{nil, nil, errDead} {
		m.checked("dns", "answers", health.Result{Took: time.Second, Err: err})
	}
	want := map[string]float64{
		"keepcast_driver_apply_duration_seconds bird":      2,
		"keepcast_driver_apply_duration_seconds frr":       1,
		"keepcast_driver_apply_errors_total bird":          1,
		"keepcast_repairs_total kernel":                    1,
		"keepcast_driver_reloads_total bird":               1,
		"keepcast_check_results_total answers success dns": 2,
		"keepcast_check_results_total answers failure dns": 1,
		"keepcast_check_results_total answers void dns":    0,
		"keepcast_check_duration_seconds answers dns":      3,
		"keepcast_check_start_delay_seconds":               3,
		"keepcast_verdict_to_kernel_seconds":               1,
	}
	if diff := cmp.Diff(want, measured(t, registry)); diff != "" {
		t.Error(diff)
	}
}

// The page in docs is what the declarations say.
func TestMetricsReference(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), MetricsReference()); diff != "" {
		t.Errorf("write it anew with make docs (-page +declarations):\n%s", diff)
	}
}
