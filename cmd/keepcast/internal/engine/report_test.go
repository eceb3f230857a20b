package engine

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// push returns a check of that kind.
func push(t *testing.T) *checks.Push {
	t.Helper()
	kind, err := checks.KindByName("push")
	if err != nil {
		t.Fatal(err)
	}
	p := kind.New().(*checks.Push)
	p.TTL = 10 * time.Second
	return p
}

// A service is announced by reports, for as long as they hold; one of down withdraws it at once.
func TestReport(t *testing.T) {
	b := newHarness(t)
	b.level.Set(slog.LevelDebug)
	synctest.Test(t, func(t *testing.T) {
		b.service("dns", address, push(t))
		b.start()
		later(9 * time.Second)
		b.want("dns", api.Withdrawn, "check checka can't be run: nobody has reported yet")
		reports := func(r api.ReportRequest) {
			t.Helper()
			r.Check = "dns/checka"
			if err := b.engine.Report(r, "alice"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		reports(api.ReportRequest{Up: true})
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		reports(api.ReportRequest{Reason: "CHG-1", Seconds: 60})
		b.want("dns", api.Withdrawn, "check checka: reported down by alice: CHG-1")
		b.wantLog(1, "msg=reported service=dns check=checka up=false reason=CHG-1 ttl=1m0s by=alice")
		later(59 * time.Second)
		reports(api.ReportRequest{Up: true, Seconds: 2.5})
		later(2400 * time.Millisecond)
		b.want("dns", api.Announced, "all checks up")
		later(100*time.Millisecond + 250*time.Millisecond) // it is over, and has failed twice
		b.want("dns", api.Withdrawn, "check checka: the report that it is up, by alice, held for 2.5s and is over")
		b.wantKernel(address, driver.Delivered)
		b.end()
	})
}

// A reload forgets no report: neither one that changes nothing of the check, after which
// reports reach what runs, nor one that gives it another schedule.
func TestReportOverReload(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		b.service("dns", address, push(t))
		b.start()
		report := func(up bool) {
			t.Helper()
			if err := b.engine.Report(api.ReportRequest{Check: "dns/checka", Up: up, Seconds: 3600}, "alice"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		later(time.Second)
		report(true)
		later(time.Second)
		b.kernel.take()
		fresh := func(change func(c *config.Check)) {
			b.reload(func(cfg *config.Config) {
				c := &cfg.Services[0].Checks[0]
				c.Checker = push(t)
				change(c)
			})
		}
		fresh(func(*config.Check) {})
		fresh(func(c *config.Check) {
			c.Raw, c.Schedule = map[string]any{"i": 9}, health.Schedule{Interval: 2 * time.Second, FastInterval: time.Second, Timeout: time.Second, Rise: 3, Fall: 2}
		})
		later(time.Minute)
		b.wantUnmoved()
		b.want("dns", api.Announced, "all checks up")
		report(false)
		b.want("dns", api.Withdrawn, "check checka: reported down by alice")
		b.end()
	})
}

func TestReportRefused(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		b.service("dns", address, &fakeCheck{}, push(t))
		b.start()
		later(time.Second)
		for want, r := range map[string]api.ReportRequest{
			`"dns" names no check: a report is for one, as in SERVICE/CHECK`:                     {Check: "dns"},
			`no service "dsn" (did you mean "dns"?)`:                                             {Check: "dsn/checka"},
			`service dns has no check "fit" (running: checka, checkb)`:                           {Check: "dns/fit"},
			"check dns/checka is of kind fake: reports are for those of kind push":               {Check: "dns/checka"},
			"a report can't hold for -1s: from 0s (as long as the check has it) to 168h0m0s":     {Check: "dns/checkb", Seconds: -1},
			"a report can't hold for 604801s: from 0s (as long as the check has it) to 168h0m0s": {Check: "dns/checkb", Seconds: 7*24*3600 + 1},
			"a report can't hold for 1e+308s: from 0s (as long as the check has it) to 168h0m0s": {Check: "dns/checkb", Seconds: 1e308},
			"a report can't hold for NaNs: from 0s (as long as the check has it) to 168h0m0s":    {Check: "dns/checkb", Seconds: math.NaN()},
			"the reason has 1025 bytes, more than 1024":                                          {Check: "dns/checkb", Reason: strings.Repeat("a", 1025)},
			"": {Check: "dns/checkb", Reason: strings.Repeat("a", 1024), Seconds: 7 * 24 * 3600},
		} {
			if got := drivertest.ErrText(b.engine.Report(r, "alice")); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		b.end()
		if err := b.engine.Report(api.ReportRequest{Check: "dns/checkb"}, "alice"); !errors.Is(err, api.ErrStopped) {
			t.Errorf("got %v", err)
		}
	})
}
