package checks

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestDNSLatency(t *testing.T) {
	const ms = time.Millisecond
	all := func(n int, took time.Duration) []time.Duration {
		var out []time.Duration
		for range n {
			out = append(out, took)
		}
		return out
	}
	for name, tt := range map[string]struct {
		percentile, runs int
		took             []time.Duration
		err              string
		sight            string
	}{
		"one":         {100, 1, all(1, 31*ms), "100% of the last 1 answers took up to 31ms, more than 30ms", "31ms, 100% of the last 1 answers took up to 31ms"},
		"at most":     {100, 1, all(1, 30*ms), "", "30ms, 100% of the last 1 answers took up to 30ms"},
		"just more":   {100, 1, all(1, 30*ms+1), "100% of the last 1 answers took up to 30.01ms, more than 30ms", "30.01ms, 100% of the last 1 answers took up to 30.01ms"},
		"too few":     {95, 20, all(19, time.Second), "", "1s, the first 19 of 20 answers"},
		"all slow":    {95, 20, all(20, 42*ms), "95% of the last 20 answers took up to 42ms, more than 30ms", "42ms, 95% of the last 20 answers took up to 42ms"},
		"one slow":    {95, 20, append(all(19, ms), time.Second), "", "1s, 95% of the last 20 answers took up to 1ms"},
		"two slow":    {95, 20, append(all(18, ms), 2*time.Second, time.Second), "95% of the last 20 answers took up to 1s, more than 30ms", "1s, 95% of the last 20 answers took up to 1s"},
		"fast again":  {95, 20, append(all(20, time.Second), all(19, ms)...), "", "1ms, 95% of the last 20 answers took up to 1ms"},
		"not yet":     {95, 20, append(all(20, time.Second), all(18, ms)...), "95% of the last 20 answers took up to 1s, more than 30ms", "1ms, 95% of the last 20 answers took up to 1s"},
		"oldest goes": {100, 3, []time.Duration{time.Second, ms, ms, 2 * ms}, "", "2ms, 100% of the last 3 answers took up to 2ms"},
		"the median":  {50, 3, []time.Duration{time.Second, 3 * ms, ms}, "", "1ms, 50% of the last 3 answers took up to 3ms"},
		"the fastest": {1, 3, []time.Duration{time.Second, 3 * ms, ms}, "", "1ms, 1% of the last 3 answers took up to 1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			l := dnsLatency{MaxLatency: 30 * ms, Percentile: tt.percentile, Runs: tt.runs, took: new(dnsTimes)}
			var s *Sight
			var err error
			for _, took := range tt.took {
				s = new(Sight)
				err = l.judgeLatency(s, took)
			}
			sameError(t, err, tt.err, "")
			sameSight(t, s, "latency: "+tt.sight)
		})
	}
}

// Answers that are wrong, and those that do not come, are none to learn from.
func TestDNSLatencyOfRightAnswers(t *testing.T) {
	var mode atomic.Int64
	c := asksDNS(fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		switch mode.Load() {
		case 0:
			w.WriteMsg(withRecords(q, "www.example.com. 300 IN A 192.0.2.1"))
		case 1:
			w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
		}
	}), "www.example.com", dns.TypeA)
	c.MaxLatency, c.Percentile, c.Runs = 1, 100, 2
	for i, tt := range []struct {
		mode int64
		err  string
		kept int
	}{
		{0, "", 1},
		{1, "asking ADDR over udp for www.example.com. IN A: got SERVFAIL, expected NOERROR", 1},
		{2, "asking ADDR over udp for www.example.com. IN A: timed out", 1},
	} {
		mode.Store(tt.mode)
		ctx := within(t)
		if tt.mode == 2 {
			ctx = shortly(t)
		}
		sameError(t, c.Check(ctx), tt.err, c.Server)
		if got := len(c.took.ring); got != tt.kept {
			t.Errorf("%d: %d answers kept", i, got)
		}
	}
	mode.Store(0)
	if err := c.Check(within(t)); err == nil {
		t.Error("an answer within a nanosecond")
	}
	c.MaxLatency = time.Hour // the slow one is kept, too
	if err := c.Check(within(t)); err != nil {
		t.Error(err)
	}
}

func TestDNSLatencyWithin(t *testing.T) {
	d := DNS{dnsLatency: dnsLatency{MaxLatency: time.Second}}
	sameError(t, d.ValidateWithin(time.Second), "max_latency: 1s is not less than timeout, 1s, so that no answer could be slower", "")
	sameError(t, d.ValidateWithin(2*time.Second), "", "")
	d.MaxLatency = 0
	sameError(t, d.ValidateWithin(time.Millisecond), "", "")
}
