package engine

import (
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// Collector exports the gauges from the engine's status at each scrape, so that
// a service that is gone leaves no metric behind.
type Collector struct{ Engine *Engine }

// Describe sends the descriptions of the gauges.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range collected {
		ch <- m.desc()
	}
}

// Collect sends the gauges; none once the engine has stopped.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	s, err := c.Engine.Status()
	if err != nil {
		return
	}
	gauge := func(m Metric, value float64, labels ...string) {
		// Names come from files in any encoding; a bad one must not fail the scrape.
		for i := range labels {
			labels[i] = strings.ToValidUTF8(labels[i], "?")
		}
		ch <- prometheus.MustNewConstMetric(m.desc(), prometheus.GaugeValue, value, labels...)
	}
	gauge(buildInfo, 1, s.Version, runtime.Version())
	gauge(configReloaded, truth(s.Config.Error == ""))
	if !s.Config.LastGood {
		gauge(configReloadTime, float64(s.Config.Loaded.UnixMilli())/1000)
	}
	for _, d := range s.Drivers {
		gauge(driverInSync, truth(d.InSync), d.Name)
		if d.Neighbors != nil {
			up := d.Up()
			gauge(neighbors, float64(up), d.Name, "up")
			gauge(neighbors, float64(len(d.Neighbors)-up), d.Name, "down")
		}
		for _, f := range d.Findings {
			gauge(findings, 1, d.Name, f.Name, string(f.Level), f.Subject)
		}
	}
	for _, f := range s.Findings {
		gauge(findings, 1, "keepcast", f.Name, string(f.Level), f.Subject)
	}
	for _, svc := range s.Services {
		gauge(serviceDrained, truth(svc.Drain != nil), svc.Name)
		for _, state := range api.States {
			gauge(serviceState, truth(svc.State == state), svc.Name, string(state))
		}
		for _, check := range svc.Checks {
			gauge(checkUp, truth(check.Verdict == health.Up), svc.Name, check.Name)
		}
		for prefix, a := range byPrefix(svc.Addresses) {
			gauge(routeDesired, truth(a.Desired == driver.Announced.String()), svc.Name, prefix)
			for name, o := range a.Observed {
				if o.Unknown {
					continue // neither 0 nor 1 would be true
				}
				gauge(routeObserved, truth(o.Present), svc.Name, prefix, name)
				if o.Neighbors != nil {
					gauge(routeExported, float64(len(o.ExportedTo)), svc.Name, prefix, name)
				}
			}
		}
	}
}

// byPrefix returns one address for each announced prefix: two may have the same.
func byPrefix(addresses []api.AddressStatus) map[string]api.AddressStatus {
	out := map[string]api.AddressStatus{}
	for _, a := range addresses {
		out[a.Prefix] = a
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
