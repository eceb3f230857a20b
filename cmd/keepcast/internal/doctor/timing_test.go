package doctor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
)

// three is a service with three checks, of which the slowest takes two minutes and the
// unit is told.
const three = `services:
- name: dns
  addresses: [192.0.2.53]
  require: %s
  checks:
  - {name: quick, kind: tcp, address: 'x:1', fall: 1, jitter: 0, timeout: 100ms}
  - {name: slow, kind: tcp, address: 'x:1', interval: 1m, patience: 1m}
  - {name: unit, kind: systemd, unit: x.service}
  - {name: cache, kind: tcp, address: 'x:1', interval: 1h, on_failure: degrade}
`

func TestTiming(t *testing.T) {
	for require, want := range map[string]string{
		// Any one that is down withdraws, so the quickest one does if all fail.
		"all": "require all, 2m7.5s, 1.1s if all fail, 200ms if they crash",
		"2":   "require 2, 2m7.5s, 1.5s if all fail, 1s if they crash",
		"any": "require any, 2m7.5s, 2m7.5s if all fail, 1m1.5s if they crash",
	} {
		cfg := load(t, fmt.Sprintf(three, require))
		s, slow := timing(cfg.Services[0])
		if got := fmt.Sprintf("require %s, %s, %s if all fail, %s if they crash", s.Require, s.WorstCase, s.AllFail, s.Crash); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		expect(t, slow, []string{"warning slow-check dns/slow: may take 2m7.5s until a failure is seen"})
	}
}

// A check of an address, of an interface or of reports is told at once, but not of a crash of
// the service. Doctor said that a service with such a check alone is withdrawn within 20 ms of it.
func TestTimingOfCrash(t *testing.T) {
	const tcp, address, exec = "{kind: tcp, address: 'x:1', patience: 2s}", "{kind: address, address: 192.0.2.99}", "{kind: exec, command: ['true']}"
	for list, want := range map[string]Seconds{
		"all, checks: [" + tcp + "]":                                                       Seconds(3500 * time.Millisecond),
		"all, checks: [" + address + "]":                                                   0,
		"all, checks: [{kind: push}, " + exec + "]":                                        0,
		"all, checks: [" + tcp + ", " + address + ", " + exec + "]":                        Seconds(3500 * time.Millisecond),
		"any, checks: [" + tcp + ", " + address + "]":                                      0,
		"2, checks: [" + tcp + ", " + address + ", {kind: systemd, unit: x.service}]":      Seconds(3500 * time.Millisecond),
		"any, checks: [{kind: process, pidfile: /run/x.pid}, {kind: tcp, address: 'x:1'}]": Seconds(time.Second),
	} {
		s, _ := timing(load(t, "services: [{name: a, addresses: [192.0.2.1], require: "+list+"}]\n").Services[0])
		if s.Crash != want {
			t.Errorf("require: %s: a crash within %s, want %s", list, s.Crash, want)
		}
	}
}

// A service may fail by what it depends on, in however many steps.
func TestTimingOfDependencies(t *testing.T) {
	one := "- {name: %s, addresses: [192.0.2.%d], depends_on: [%s], checks: [{kind: tcp, address: 'x:1', interval: %s}]}\n"
	cfg := load(t, "services:\n"+fmt.Sprintf(one, "mail", 1, "ldap", "1s")+fmt.Sprintf(one, "ldap", 2, "kdc", "2s")+fmt.Sprintf(one, "kdc", 3, "", "10s"))
	for i, s := range Examine(t.Context(), cfg, healthy()).Services {
		want := []string{"mail 12s, depends on [ldap kdc]", "ldap 12s, depends on [kdc]", "kdc 12s, depends on []"}[i]
		if got := fmt.Sprintf("%s %s, depends on %v", s.Name, s.WorstCase, s.DependsOn); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What is seen at once and leaves a doubt counts up to fall all the same.
func TestTimingOfCounted(t *testing.T) {
	s, _ := timing(load(t, "services: [{name: a, addresses: [192.0.2.1], checks: [{kind: route, destination: 0.0.0.0/0, fall: 3, fast_interval: 20s, interval: 1m}]}]\n").Services[0])
	if c := s.Checks[0]; c.AtOnce != "the route changes" || c.Certain != c.WorstCase || c.Certain < Seconds(40*time.Second) {
		t.Errorf("%q within %s, worst case %s", c.AtOnce, c.Certain, c.WorstCase)
	}
}

// Who asks nobody but the kernel is not kept waiting for the timeout, which was counted.
func TestTimingOfInstant(t *testing.T) {
	for settings, want := range map[string]string{
		"kind: listener, address: '127.0.0.1:53', interval: 50ms, fall: 4, fast_interval: 40ms": "185ms/185ms, at once 20ms: 55ms until the next run + 10ms run + 3 more × 40ms fast_interval",
		"kind: listener, address: '127.0.0.1:53', interval: 10ms, timeout: 5ms, jitter: 0":      "25ms/25ms, at once 10ms: 10ms until the next run + 5ms run + 1 more × 10ms fast_interval",
		"kind: listener, address: '127.0.0.1:53', fast_interval: 10ms, jitter: 0":               "1.02s/1.02s, at once 20ms: 1s until the next run + 10ms run + 1 more × 10ms run",
		"kind: address, address: 10.0.0.1":                                                      "270ms/1.36s, at once 20ms: told at once; 10ms of a run under way + 10ms run + 1 more × 250ms fast_interval",
		"kind: interface, interface: eth0, timeout: 10m":                                        "270ms/1.36s, at once 20ms: told at once; 10ms of a run under way + 10ms run + 1 more × 250ms fast_interval",
		"kind: exec, command: ['true'], patience: 1m":                                           "2.1s/2.1s, at once 2.1s: 1.1s until the next run + 500ms timeout + 1 more × 500ms timeout", // it is never certain
		"kind: push":                          "270ms/1.36s, at once 270ms: told at once; 10ms of a run under way + 10ms run + 1 more × 250ms fast_interval",
		"kind: route, destination: 0.0.0.0/0": "1.5s/2.1s, at once 1.5s: told at once; 500ms of a run under way + 500ms timeout + 1 more × 500ms timeout", // a full table takes a second
	} {
		s, slow := timing(load(t, "services: [{name: a, addresses: [192.0.2.1], checks: [{"+settings+"}]}]\n").Services[0])
		c := s.Checks[0]
		if got := fmt.Sprintf("%s/%s, at once %s: %s", c.WorstCase, c.Polled, c.Certain, c.Makeup); got != want || len(slow) > 0 {
			t.Errorf("%s:\ngot  %s\nwant %s\n%v", settings, got, want, slow)
		}
	}
}

func TestMakeup(t *testing.T) {
	s, _ := timing(load(t, fmt.Sprintf(three, "all")).Services[0])
	for i, want := range []string{
		"quick told=false 1.1s/1.1s, at once 200ms: 1s until the next run + 100ms timeout",
		"slow told=false 2m7.5s/2m7.5s, at once 1m1.5s: 1m6s until the next run + 500ms timeout + 1 more × 500ms timeout + 1m0s patience + 500ms timeout",
		"unit told=true 1.5s/2.1s, at once 1s: told at once; 500ms of a run under way + 500ms timeout + 1 more × 500ms timeout",
		"cache told=false 1h6m1s/1h6m1s, at once 1s: 1h6m0s until the next run + 500ms timeout + 1 more × 500ms timeout",
	} {
		c := s.Checks[i]
		if got := fmt.Sprintf("%s told=%t %s/%s, at once %s: %s", c.Name, c.Told, c.WorstCase, c.Polled, c.Certain, c.Makeup); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// The fix names what is to be lowered.
func TestSlowCheck(t *testing.T) {
	for settings, want := range map[string]string{
		"interval: 1m":                                   "lower interval (1m0s), which makes up 1m6s of it",
		"interval: 1s, timeout: 20s":                     "lower timeout (20s) or fall (2), which makes up 40s of it",
		"interval: 1s, timeout: 40s, fall: 1, jitter: 0": "lower timeout (40s), which is longer than interval (1s), which makes up 41s of it",
		"interval: 20s, fast_interval: 20s, fall: 3":     "lower fast_interval (20s) or fall (3), which makes up 40.5s of it",
		"interval: 10s, fall: 100":                       "lower timeout (500ms) or fall (100), which makes up 50s of it",
		"interval: 5s, patience: 1m":                     "lower patience (1m0s), which makes up 1m0s of it",
		"interval: 28s, jitter: 0":                       "",
	} {
		cfg := load(t, "services: [{name: a, addresses: [192.0.2.1], checks: [{kind: tcp, address: 'x:1', "+settings+"}]}]\n")
		_, slow := timing(cfg.Services[0])
		switch {
		case want == "":
			expect(t, slow, nil)
		case len(slow) != 1 || slow[0].Fix != want:
			t.Errorf("%s:\ngot  %+v\nwant %s", settings, slow, want)
		}
	}
}

// mortal is fit until it dies, and takes up to its timeout to say so.
type mortal struct{ died *time.Time }

func (m mortal) Check(ctx context.Context) error {
	dead := !m.died.IsZero()
	deadline, _ := ctx.Deadline()
	<-time.NewTimer(rand.N(time.Until(deadline))).C
	if dead {
		return errors.New("dead")
	}
	return nil
}

// The figures of a configuration hold for the real scheduler (see also the test
// of health.Schedule.WorstCase, which shows that they are reached).
func TestTimingHolds(t *testing.T) {
	s := load(t, "services: [{name: a, addresses: [192.0.2.1], checks: [{kind: tcp, address: 'x:1', interval: 2s, jitter: 0.3, fall: 3}]}]\n").Services[0]
	figure, _ := timing(s)
	synctest.Test(t, func(t *testing.T) {
		var worst time.Duration
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			died, dies := time.Time{}, time.Now().Add(20*time.Second+rand.N(2*time.Second))
			ended := make(chan struct{})
			health.NewProbe(mortal{&died}, s.Checks[0].Schedule).Start(ctx, 0, func(r health.Result) {
				switch {
				case died.IsZero() && !time.Now().Before(dies): // between two runs, so that nothing races
					died = time.Now()
				case !died.IsZero() && r.Verdict == health.Down:
					worst = max(worst, time.Since(died))
					cancel()
				}
			}, func() { close(ended) })
			<-ended
			cancel()
		}
		if limit := time.Duration(figure.WorstCase); worst > limit || worst < limit/2 {
			t.Errorf("seen after %s at the worst, computed %s", worst, limit)
		}
	})
}

// Levels are those that CompareFindings sorts by, the worst first.
func TestOrder(t *testing.T) {
	cfg := load(t, fmt.Sprintf(three, "all"))
	h := healthy()
	h.Running = nil
	h.drop("anycast0")
	h.Network.Dummy = false
	var levels []string
	for _, f := range Examine(t.Context(), cfg, h).Findings {
		levels = append(levels, string(f.Level))
	}
	if got := strings.Join(levels, " "); got != "error warning info info" {
		t.Errorf("order %s", got)
	}
	if r := (Report{Findings: []driver.Finding{{Level: driver.LevelError}, {Level: driver.LevelInfo}}}); r.Errors() != 1 {
		t.Errorf("%d break", r.Errors())
	}
}
