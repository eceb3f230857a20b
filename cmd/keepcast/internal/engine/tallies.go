package engine

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// tallies count what happens to services and their checks. They are plain numbers until
// somebody asks: with counters of the library a thousand services would take 5 MiB more.
type tallies struct {
	mu       sync.Mutex // guards the maps, not the numbers
	checks   map[checkName]*runs
	services map[string]*changes
}

type checkName struct{ service, check string }

// runs counts the runs of a check.
type runs struct {
	results [len(results)]atomic.Uint64
	took    [len(durationBuckets) + 1]atomic.Uint64 // by bucket; the last has none
	total   atomic.Int64                            // nanoseconds
}

// changes counts the changes of a service to each of the states.
type changes [len(changesTo)]atomic.Uint64

// What is counted: the results of a check, and the states that a service comes to.
var (
	results   = [...]string{resultSuccess: "success", resultFailure: "failure", resultVoid: "void"}
	changesTo = [...]api.State{api.Announced, api.Degraded, api.Draining, api.Withdrawn}
)

const (
	resultSuccess = iota
	resultFailure
	resultVoid
)

func resultOf(r health.Result) int {
	switch {
	case r.Void:
		return resultVoid
	case r.Err != nil:
		return resultFailure
	}
	return resultSuccess
}

func newTallies() *tallies {
	return &tallies{checks: map[checkName]*runs{}, services: map[string]*changes{}}
}

// begin has what is counted of a service begin at 0: Prometheus does not see the first
// increase of a counter that is born with it.
func (t *tallies) begin(s *config.Service) {
	of(t, t.services, s.Name)
	for _, c := range s.Checks {
		of(t, t.checks, checkName{s.Name, c.Name})
	}
}

// of returns what is counted by a name.
func of[K comparable, V any](t *tallies, all map[K]*V, name K) *V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if all[name] == nil {
		all[name] = new(V)
	}
	return all[name]
}

// checked counts a run of a check.
func (t *tallies) checked(service, check string, r health.Result) {
	counted := of(t, t.checks, checkName{service, check})
	counted.results[resultOf(r)].Add(1)
	bucket, _ := slices.BinarySearch(durationBuckets[:], r.Took.Seconds())
	counted.took[bucket].Add(1)
	counted.total.Add(int64(r.Took))
}

// changed counts a change of a service.
func (t *tallies) changed(service string, to api.State) {
	of(t, t.services, service)[slices.Index(changesTo[:], to)].Add(1)
}

// forget drops what was counted for a service that is gone.
func (t *tallies) forget(service string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.services, service)
	maps.DeleteFunc(t.checks, func(name checkName, _ *runs) bool { return name.service == service })
}

// forgetCheck drops what was counted for a check that is gone.
func (t *tallies) forgetCheck(service, check string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.checks, checkName{service, check})
}

// Describe implements prometheus.Collector.
func (t *tallies) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []Metric{checkResults, checkDuration, transitions} {
		ch <- m.desc()
	}
}

// Collect implements prometheus.Collector.
func (t *tallies) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	checks, services := maps.Clone(t.checks), maps.Clone(t.services) // nobody waits for those who read from ch
	t.mu.Unlock()
	byResult, byState, duration := checkResults.desc(), transitions.desc(), checkDuration.desc()
	for name, counted := range checks {
		for i, result := range results {
			ch <- prometheus.MustNewConstMetric(byResult, prometheus.CounterValue, float64(counted.results[i].Load()), name.service, name.check, result)
		}
		upTo, number := map[float64]uint64{}, uint64(0)
		for i, bucket := range durationBuckets {
			number += counted.took[i].Load()
			upTo[bucket] = number
		}
		number += counted.took[len(durationBuckets)].Load()
		ch <- prometheus.MustNewConstHistogram(duration, number, time.Duration(counted.total.Load()).Seconds(), upTo, name.service, name.check)
	}
	for name, counted := range services {
		for i, state := range changesTo {
			ch <- prometheus.MustNewConstMetric(byState, prometheus.CounterValue, float64(counted[i].Load()), name, string(state))
		}
	}
}
