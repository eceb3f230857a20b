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
)

// A run counts in each bucket that is as long or longer, as in any histogram.
func TestTallyOfDurations(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	for _, took := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, 3 * time.Second, 10 * time.Second, time.Minute} {
		m.checked("dns", "answers", health.Result{Took: took})
	}
	const want = `
# HELP keepcast_check_duration_seconds How long the runs of the check took.
# TYPE keepcast_check_duration_seconds histogram
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.0001"} 1
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.00025"} 1
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.0005"} 1
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.001"} 2
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.0025"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.005"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.01"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.025"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.05"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.1"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.25"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="0.5"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="1"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="2.5"} 3
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="5"} 4
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="10"} 5
keepcast_check_duration_seconds_bucket{check="answers",service="dns",le="+Inf"} 6
keepcast_check_duration_seconds_sum{check="answers",service="dns"} 73.002000001
keepcast_check_duration_seconds_count{check="answers",service="dns"} 6
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "keepcast_check_duration_seconds"); err != nil {
		t.Error(err)
	}
}

// All that is counted of a service is there from the start, and from the reload that brings
// it, before a check has ended.
func TestTalliesBegin(t *testing.T) {
	b := newHarness(t)
	registry := prometheus.NewPedanticRegistry()
	b.registry = registry
	b.service("dns", address, &slowToEnd{})
	want := []string{"keepcast_check_duration_seconds"}
	want = append(want, slices.Repeat([]string{"keepcast_check_results_total"}, len(results))...)
	want = append(want, slices.Repeat([]string{"keepcast_service_transitions_total"}, len(changesTo))...)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		synctest.Wait()
		if diff := cmp.Diff(want, series(t, registry, "dns")); diff != "" {
			t.Errorf("at the start (-want +got):\n%s", diff)
		}
		added := *b.service("ldap", "192.0.2.54/32", &slowToEnd{})
		b.cfg.Services = b.cfg.Services[:1]
		b.reload(func(c *config.Config) { c.Services = append(c.Services, added) })
		synctest.Wait()
		if diff := cmp.Diff(want, series(t, registry, "ldap")); diff != "" {
			t.Errorf("after the reload (-want +got):\n%s", diff)
		}
		b.end()
	})
}

// A registry holds what is collected to what is described.
func TestTalliesAreDescribed(t *testing.T) {
	described := make(chan *prometheus.Desc, 10)
	newTallies().Describe(described)
	if len(described) != 3 {
		t.Errorf("%d metrics are described", len(described))
	}
}
