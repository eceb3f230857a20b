package checks

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/pace"
)

func init() {
	register(Kind{
		Name: "push",
		Doc: "Asks nobody, but is told by others whether the service is fit: a batch job, Nagios, Consul, a deployment. They say so by " +
			"`keepcast report SERVICE/CHECK up`, or over the control socket, and again before the time is over for which that holds: " +
			"silence is failure. A report of down makes the check down at once. A restart of keepcast forgets the reports, and waits " +
			"for the first one for as long as `ttl`; until then the check says nothing.",
		Example: "ttl: 30s\n",
		New:     func() Checker { return &Push{news: pace.NewBell(), since: time.Now()} },
		AtOnce:  "a report says so, or the time of the last one is over",
		Counted: true,
		Instant: true,
	})
}

// Push is fit while the last report says so.
type Push struct {
	TTL time.Duration `config:"ttl" default:"1m" min:"100ms" max:"168h" doc:"How long a report holds that does not say so by itself (--ttl), and how long keepcast waits for the first one."`

	news  pace.Bell // rung by each report, for Watch
	since time.Time // when it began to wait for the first
	last  atomic.Pointer[Report]
}

// Report is what somebody says of a service.
type Report struct {
	Up     bool
	Reason string        // for those who look at the status
	TTL    time.Duration // how long it holds; 0: as long as the check has it
	By     string        // who says so
	At     time.Time
}

// Validate implements Validator.
func (p *Push) Validate() error { return nil }

// Report takes a report. It never blocks.
func (p *Push) Report(r Report) {
	if r.TTL == 0 {
		r.TTL = p.TTL
	}
	p.last.Store(&r)
	p.news.Ring()
}

// Inherit goes on with what another check of the kind was told.
func (p *Push) Inherit(from *Push) {
	p.since = from.since
	if r := from.last.Load(); r != nil {
		p.last.Store(r)
	}
}

// ends returns when the last report does, or the wait for the first.
func (p *Push) ends() time.Time {
	if r := p.last.Load(); r != nil {
		return r.At.Add(r.TTL)
	}
	return p.since.Add(p.TTL)
}

// Check implements Checker.
func (p *Push) Check(ctx context.Context) error {
	r, over := p.last.Load(), !time.Now().Before(p.ends())
	switch {
	case r == nil && over:
		return fmt.Errorf("nobody has reported within %s of the start", p.TTL)
	case r == nil:
		return health.Void(errors.New("nobody has reported yet"))
	}
	sight(ctx).saw("report", "%s by %s at %s, for %s: %s", r.word(), r.By, r.At.UTC().Format(time.RFC3339), r.TTL, r.Reason)
	switch {
	case over:
		return fmt.Errorf("the report that it is %s, by %s, held for %s and is over", r.word(), r.By, r.TTL)
	case !r.Up:
		return health.Certain(fmt.Errorf("reported down by %s%s", r.By, r.because()))
	}
	return nil
}

func (r *Report) word() string {
	if r.Up {
		return "up"
	}
	return "down"
}

func (r *Report) because() string {
	if r.Reason == "" {
		return ""
	}
	return ": " + r.Reason
}

// Watch implements Watcher.
func (p *Push) Watch(ctx context.Context, changed func()) error {
	over := time.NewTimer(time.Until(p.ends()))
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over.C:
		case <-p.news:
			over.Reset(time.Until(p.ends()))
		}
		changed()
	}
}
