package control

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What the server found, such as a lost lock, was in the status and in no metric: nobody whose
// alerts hang on the metric of findings learned of it. Two directories may be the same one.
func TestFindingsAreMeasured(t *testing.T) {
	registry := prometheus.NewRegistry()
	of := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "keepcast_driver_finding", Help: "1 for each finding about the daemon, or about keepcast itself; keepcast status says what to do about it.",
	}, []string{"driver", "finding", "level", "subject"})
	of.WithLabelValues("bird", "session-down", "warning", "r1").Set(1) // as the engine has it
	registry.MustRegister(of)
	finds := func(subject string) func() *driver.Finding {
		return func() *driver.Finding {
			return &driver.Finding{Name: "lock-lost", Level: driver.LevelError, Subject: subject}
		}
	}
	h := newHandlers(&fakeEngine{}, registry, finds("/run/\xff"), func() *driver.Finding { return nil }, finds("/run/a"), finds("/run/a"))
	var got []string
	for line := range strings.Lines(ask(h.readOnly(), "GET", "/metrics", "").Body) {
		if strings.HasPrefix(line, "keepcast_driver_finding{") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	drivertest.Same(t, "metrics", []string{
		`keepcast_driver_finding{driver="bird",finding="session-down",level="warning",subject="r1"} 1`,
		`keepcast_driver_finding{driver="keepcast",finding="lock-lost",level="error",subject="/run/?"} 1`,
		`keepcast_driver_finding{driver="keepcast",finding="lock-lost",level="error",subject="/run/a"} 1`,
	}, got)
}
