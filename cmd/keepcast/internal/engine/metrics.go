package engine

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// Metric is the declaration of one metric: what is exported and what
// docs/reference/metrics.md says both come from it.
type Metric struct {
	Name   string
	Type   string // gauge, counter or histogram
	Labels []string
	Help   string
}

// The metrics. Desired and observed announcements are two, on purpose.
var (
	serviceState     = Metric{"keepcast_service_state", "gauge", []string{"service", "state"}, "1 for the state that the service is in, 0 for the others. In announced and degraded the daemons have exported its prefixes to neighbors; in announcing they have not yet."}
	serviceDrained   = Metric{"keepcast_service_drained", "gauge", []string{"service"}, "1 while an operator or a file drains the service."}
	routeDesired     = Metric{"keepcast_announcement_desired", "gauge", []string{"service", "prefix"}, "1 when keepcast has decided that the prefix is announced. It says nothing of the network."}
	routeObserved    = Metric{"keepcast_announcement_observed", "gauge", []string{"service", "prefix", "driver"}, "1 when the kernel or the daemon had the prefix when it was last asked. It does not say that a neighbor was sent it. It is missing for a driver that could not be asked."}
	routeExported    = Metric{"keepcast_announcement_exported_neighbors", "gauge", []string{"service", "prefix", "driver"}, "Neighbors to whom the daemon exported the prefix when it was last asked. It is missing for a driver that could not be asked."}
	neighbors        = Metric{"keepcast_driver_neighbors", "gauge", []string{"driver", "state"}, "Neighbors to whom the daemon can announce, by state, up or down."}
	findings         = Metric{api.FindingMetric, "gauge", api.FindingLabels(), api.FindingHelp}
	checkUp          = Metric{"keepcast_check_up", "gauge", []string{"service", "check"}, "1 when the check is up, 0 when it is down, has not decided yet, or counts as down by on_void, since keepcast can't run it."}
	driverInSync     = Metric{"keepcast_driver_in_sync", "gauge", []string{"driver"}, "1 when the daemon or the kernel has the newest desired state, as far as the driver could verify it; 0 also while it can't be asked."}
	configReloaded   = Metric{"keepcast_config_last_reload_successful", "gauge", nil, "1 when the last load of the configuration succeeded, by a reload or a start. With 0 the configuration before it is in force."}
	configReloadTime = Metric{"keepcast_config_last_reload_success_timestamp_seconds", "gauge", nil, "Unix time of the last successful load of the configuration. It is missing while keepcast runs on the last good configuration, since a start with files that are not valid."}
	buildInfo        = Metric{"keepcast_build_info", "gauge", []string{"version", "goversion"}, "1, with the build in the labels."}
	checkResults     = Metric{"keepcast_check_results_total", "counter", []string{"service", "check", "result"}, "Runs of the check by result: success, failure, or void when keepcast itself could not probe."}
	checkDuration    = Metric{"keepcast_check_duration_seconds", "histogram", []string{"service", "check"}, "How long the runs of the check took."}
	transitions      = Metric{"keepcast_service_transitions_total", "counter", []string{"service", "state"}, "Changes of the service to the state."}
	applyDuration    = Metric{"keepcast_driver_apply_duration_seconds", "histogram", []string{"driver"}, "How long it took to bring the daemon or the kernel in sync, also when nothing was to be done."}
	applyErrors      = Metric{"keepcast_driver_apply_errors_total", "counter", []string{"driver"}, "Attempts to bring the daemon or the kernel in sync that failed; each is retried."}
	driverReloads    = Metric{"keepcast_driver_reloads_total", "counter", []string{"driver"}, "Times the daemon was made to load a changed snippet."}
	repairs          = Metric{"keepcast_repairs_total", "counter", []string{"driver"}, "Repairs: something was put right that somebody else had changed."}
	verdictToKernel  = Metric{"keepcast_verdict_to_kernel_seconds", "histogram", nil, "Time from the result of a check, or an order, until the kernel is told what follows from it. It is some milliseconds at most, unless hundreds of services change together; more means that keepcast itself is held up."}
	startDelay       = Metric{"keepcast_check_start_delay_seconds", "histogram", nil, "How much later than planned the runs of checks began. More than some tens of milliseconds, mostly, means that keepcast is short of processor time."}
	logDropped       = Metric{"keepcast_log_dropped_total", "counter", nil, "Lines of the log that were dropped, since nobody read it in time."}
	collected        = []Metric{serviceState, serviceDrained, routeDesired, routeObserved, routeExported, neighbors, findings, checkUp, driverInSync, configReloaded, configReloadTime, buildInfo}
	counted          = []Metric{checkResults, checkDuration, transitions, applyDuration, applyErrors, driverReloads, repairs, verdictToKernel, startDelay, logDropped}
	durationBuckets  = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// Metrics counts what moves. The gauges come from the engine's status instead,
// see Collector, so that nothing stays behind when a service goes.
type Metrics struct {
	*tallies
	errors, reloads, repairs *prometheus.CounterVec
	applies                  *prometheus.HistogramVec
	reached, late            prometheus.Histogram
}

// NewMetrics registers the counters and histograms.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		tallies: newTallies(),
		errors:  applyErrors.counter(), reloads: driverReloads.counter(), repairs: repairs.counter(),
		applies: applyDuration.histogram(),
		reached: verdictToKernel.single(), late: startDelay.single(),
	}
	registry.MustRegister(m.tallies, m.errors, m.reloads, m.repairs, m.applies, m.reached, m.late)
	return m
}

// LogDropped returns the counter of dropped log lines, which count tells.
func LogDropped(count func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: logDropped.Name, Help: logDropped.Help}, count)
}

func (m Metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m Metric) histogram() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: durationBuckets[:]}, m.Labels)
}

// single is a histogram without labels.
func (m Metric) single() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: durationBuckets[:]})
}

func (m Metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}

// Applied notes an attempt to bring a daemon or the kernel in sync.
func (m *Metrics) Applied(driver string, took time.Duration, err error) {
	m.applies.WithLabelValues(driver).Observe(took.Seconds())
	if err != nil {
		m.errors.WithLabelValues(driver).Inc()
	}
}

// Repaired counts what was put right.
func (m *Metrics) Repaired(driver string) { m.repairs.WithLabelValues(driver).Inc() }

// Reloaded counts a load of a changed snippet by a daemon.
func (m *Metrics) Reloaded(driver string) { m.reloads.WithLabelValues(driver).Inc() }

// Reached notes how long it took until the kernel was told.
func (m *Metrics) Reached(after time.Duration) { m.reached.Observe(after.Seconds()) }

// checked counts a run of a check.
func (m *Metrics) checked(service, check string, r health.Result) {
	m.tallies.checked(service, check, r)
	m.late.Observe(r.Late.Seconds())
}

// beginDriver has what is counted of a driver begin at 0, as begin does for a service.
func (m *Metrics) beginDriver(name string) {
	m.errors.WithLabelValues(name)
	m.reloads.WithLabelValues(name)
	m.repairs.WithLabelValues(name)
	m.applies.WithLabelValues(name)
}

// forgetDriver drops what was counted for a driver that is gone.
func (m *Metrics) forgetDriver(name string) {
	of := prometheus.Labels{"driver": name}
	m.errors.DeletePartialMatch(of)
	m.reloads.DeletePartialMatch(of)
	m.repairs.DeletePartialMatch(of)
	m.applies.DeletePartialMatch(of)
}

// MetricsReference returns docs/reference/metrics.md.
func MetricsReference() string {
	var b strings.Builder
	b.WriteString("# Metrics reference\n\n<!-- Generated by \"make docs\" from the declarations in the code. Do not edit. -->\n\n" +
		"`/metrics` on the address `listen` has these metrics, and those of the Go runtime and the process.\n\n" +
		"| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, list := range [][]Metric{collected, counted} {
		for _, m := range list {
			labels := ""
			if len(m.Labels) > 0 {
				labels = "`" + strings.Join(m.Labels, "`, `") + "`"
			}
			b.WriteString("| `" + m.Name + "` | " + m.Type + " | " + labels + " | " + m.Help + " |\n")
		}
	}
	return b.String()
}
