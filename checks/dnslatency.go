package checks

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// dnsLatency are the settings by which answers may be too slow, and how long those of the
// runs before took.
type dnsLatency struct {
	MaxLatency time.Duration `config:"max_latency" default:"0s" min:"0s" doc:"How long the server may take to answer, a connection and a handshake of TLS included, before most answers are too slow: 'latency_percentile' of the last 'latency_runs' have to be as fast. An answer that is otherwise wrong, or does not come, counts for neither. Nothing is too slow before there were as many since keepcast started. A slow network or a host without processor time to spare counts, too. Less than the timeout. 0s: does not matter."`
	Percentile int           `config:"latency_percentile" default:"95" min:"1" max:"100" doc:"How many of a hundred answers must not take longer than 'max_latency'."`
	Runs       int           `config:"latency_runs" default:"20" min:"1" max:"1000" doc:"How many of the last answers are looked at. The more, the later a server that got slow is found, and one that got fast again."`
	took       *dnsTimes
}

// dnsTimes are how long the last answers took.
type dnsTimes struct {
	mu   sync.Mutex
	ring []time.Duration
	next int // where the next one is put, once the ring is full
}

// ValidateWithin implements Timed.
func (l dnsLatency) ValidateWithin(timeout time.Duration) error {
	if l.MaxLatency < timeout {
		return nil
	}
	return fmt.Errorf("max_latency: %s is not less than timeout, %s, so that no answer could be slower", l.MaxLatency, timeout)
}

// judgeLatency takes note of how long an answer took that is right, and says whether too
// many of the last ones were slow.
func (l dnsLatency) judgeLatency(s *Sight, took time.Duration) error {
	if l.MaxLatency == 0 {
		return nil
	}
	last := l.took.add(took, l.Runs)
	if len(last) < l.Runs {
		s.saw("latency", "%s, the first %d of %d answers", dnsRounded(took), len(last), l.Runs)
		return nil
	}
	slices.Sort(last)
	slow := dnsPercentile(last, l.Percentile)
	s.saw("latency", "%s, %d%% of the last %d answers took up to %s", dnsRounded(took), l.Percentile, l.Runs, dnsRounded(slow))
	if slow > l.MaxLatency {
		return fmt.Errorf("%d%% of the last %d answers took up to %s, more than %s", l.Percentile, l.Runs, dnsRounded(slow), l.MaxLatency)
	}
	return nil
}

// add puts one time in place of the oldest one, and returns a copy of the last most.
func (d *dnsTimes) add(took time.Duration, most int) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < most {
		d.ring = append(d.ring, took)
	} else {
		d.ring[d.next] = took
		d.next = (d.next + 1) % most
	}
	return slices.Clone(d.ring)
}

// dnsPercentile returns the shortest of some sorted times that p of a hundred do not exceed.
func dnsPercentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(p*len(sorted)+99)/100-1]
}

// dnsRounded leaves of a time what matters, and never makes 0 of one. It rounds up, so that
// what is more than a limit is seen to be.
func dnsRounded(d time.Duration) time.Duration {
	const to = 10 * time.Microsecond
	return (d + to - 1).Truncate(to)
}
