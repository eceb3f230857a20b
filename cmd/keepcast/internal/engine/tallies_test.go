package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/checks/health"
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
