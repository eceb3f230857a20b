package control

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// found are what else the status is to tell of, beside what the engine found. Each returns
// nil while there is nothing.
type found []func() *driver.Finding

// now returns what is found now.
func (f found) now() (all []driver.Finding) {
	for _, look := range f {
		if one := look(); one != nil {
			all = append(all, *one)
		}
	}
	return all
}

// findingMetric is that of the engine, too: the two are gathered together.
var findingMetric = prometheus.NewDesc(api.FindingMetric, api.FindingHelp, api.FindingLabels(), nil)

// Describe sends the description of the metric.
func (f found) Describe(ch chan<- *prometheus.Desc) { ch <- findingMetric }

// Collect sends what is found now.
func (f found) Collect(ch chan<- prometheus.Metric) {
	sent := map[[3]string]bool{} // two directories may be one
	for _, one := range f.now() {
		labels := [3]string{one.Name, string(one.Level), strings.ToValidUTF8(one.Subject, "?")}
		if !sent[labels] {
			sent[labels] = true
			ch <- prometheus.MustNewConstMetric(findingMetric, prometheus.GaugeValue, 1, "keepcast", labels[0], labels[1], labels[2])
		}
	}
}

// with returns the metrics with those of what is found.
func (f found) with(metrics prometheus.Gatherer) prometheus.Gatherer {
	own := prometheus.NewRegistry()
	own.MustRegister(f)
	return prometheus.Gatherers{metrics, own}
}
