package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// Seconds is a length of time that JSON shows as a number of seconds.
type Seconds time.Duration

// MarshalJSON writes a number of seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// String is the time as a configuration has it, to the millisecond.
func (s Seconds) String() string { return time.Duration(s).Round(time.Millisecond).String() }

// Service tells how long a failure of a service may last until it is withdrawn.
// The routing's own convergence comes on top.
type Service struct {
	Name    string `json:"name"`
	Require string `json:"require"`
	// WorstCase holds for every failure that withdraws the service, also one
	// that its slowest check alone finds.
	WorstCase Seconds `json:"worst_case_seconds"`
	// AllFail holds for a failure that every check finds, such as a hang.
	AllFail Seconds `json:"all_fail_seconds"`
	// Crash holds for a crash that the checks learn of by themselves; 0 where too few of them do.
	Crash  Seconds `json:"crash_seconds,omitempty"`
	Checks []Check `json:"checks"`
	// DependsOn are the services whose failures withdraw this one, too, directly or by way of
	// others. WorstCase holds for these as well.
	DependsOn []string `json:"depends_on,omitempty"`
}

// Check tells how long a failure may last until one check is down.
type Check struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	OnFailure string  `json:"on_failure"`
	WorstCase Seconds `json:"worst_case_seconds"`
	Told      bool    `json:"told"`               // it learns of every change by itself: see Polled
	Polled    Seconds `json:"polled_seconds"`     // as long as it is not told
	AtOnce    string  `json:"at_once,omitempty"`  // what it learns of by itself
	Certain   Seconds `json:"at_once_seconds"`    // how long that takes at the most; that of the worst case where there is none
	Makeup    string  `json:"how_it_comes_about"` // for people
}

// slow is from where on a worst case is worth a warning: BGP's own hold time is
// of that order, so the checks would then be what failover waits for.
const slow = 30 * time.Second

// timing computes the times of a service, and warns of slow checks.
func timing(s config.Service) (Service, []driver.Finding) {
	require, err := s.Require.MarshalText()
	if err != nil {
		require = []byte(err.Error())
	}
	out := Service{Name: s.Name, Require: string(require), Checks: []Check{}}
	var withdrawing, crash []Seconds
	var found []driver.Finding
	for _, c := range s.Checks {
		kind, _ := checks.KindByName(c.Kind) // one that is not known learns of nothing by itself
		if kind.Instant {
			c.Timeout = min(c.Timeout, instant)
		}
		if kind.AtOnce == "" || kind.Counted {
			c.Patience = 0 // nothing is certain
		}
		one := timingOf(c, kind)
		out.Checks = append(out.Checks, one)
		if c.Degrades() {
			continue
		}
		withdrawing = append(withdrawing, one.WorstCase)
		if kind.SeesCrash() {
			crash = append(crash, one.Certain)
		}
		if time.Duration(one.WorstCase) > slow {
			found = append(found, slowCheck(s.Name, c, one))
		}
	}
	if len(withdrawing) == 0 {
		return out, found
	}
	slices.Sort(withdrawing)
	slices.Sort(crash)
	// So many have to be down. Which ones is up to the failure: the slowest is
	// among them at the worst, and the quickest ones if all are to fail.
	down := len(withdrawing) - s.Require.Needed(len(withdrawing)) + 1
	out.WorstCase, out.AllFail = withdrawing[len(withdrawing)-1], withdrawing[down-1]
	if down <= len(crash) {
		out.Crash = crash[down-1]
	}
	return out, found
}

// addDependencies adds to the services of a configuration, in its order, what they depend on.
func addDependencies(cfg *config.Config, services []Service) {
	own := map[string]Seconds{}
	for _, s := range services {
		own[s.Name] = s.WorstCase
	}
	for i, s := range cfg.Services {
		for _, need := range cfg.Dependencies(s) {
			services[i].DependsOn = append(services[i].DependsOn, need)
			services[i].WorstCase = max(services[i].WorstCase, own[need])
		}
	}
}

// instant is more than a check takes on a busy host that asks nobody but the kernel.
const instant = 10 * time.Millisecond

func timingOf(c config.Check, kind checks.Kind) Check {
	_, told := c.Checker.(health.Watcher)
	out := Check{
		Name: c.Name, Kind: c.Kind, OnFailure: c.OnFailure, Told: told,
		WorstCase: Seconds(c.WorstCase(told)), Polled: Seconds(c.WorstCase(false)), AtOnce: kind.AtOnce, Certain: Seconds(c.WorstCase(told)),
	}
	if kind.AtOnce != "" && !kind.Counted {
		out.Certain = Seconds(min(c.AtOnce(), c.WorstCase(told)))
	}
	parts := []string{fmt.Sprintf("%s until the next run", Seconds(c.ToNextRun()))}
	if told {
		parts = []string{fmt.Sprintf("told at once; %s of a run under way", c.Timeout)}
	}
	fails := "timeout"
	if kind.Instant {
		fails = "run"
	}
	parts = append(parts, fmt.Sprintf("%s %s", c.Timeout, fails))
	if more := c.Fall - 1; more > 0 {
		each, why := c.Timeout, fails
		if fast := min(c.FastInterval, c.Interval); fast > c.Timeout {
			each, why = fast, "fast_interval"
		}
		parts = append(parts, fmt.Sprintf("%d more × %s %s", more, each, why))
	}
	if c.Patience > 0 {
		parts = append(parts, fmt.Sprintf("%s patience + %s %s", Seconds(c.Patience), c.Timeout, fails))
	}
	out.Makeup = strings.Join(parts, " + ")
	return out
}

// slowCheck warns of a check, and says what to lower.
func slowCheck(service string, c config.Check, t Check) driver.Finding {
	longest, setting := c.ToNextRun(), fmt.Sprintf("interval (%s)", c.Interval)
	if t.Told {
		longest, setting = c.Timeout, fmt.Sprintf("timeout (%s)", c.Timeout)
	}
	if settling := c.ToFall(); settling > longest {
		longest = settling
		switch fast := min(c.FastInterval, c.Interval); {
		case fast > c.Timeout:
			setting = fmt.Sprintf("fast_interval (%s) or fall (%d)", fast, c.Fall)
		case c.Fall > 1:
			setting = fmt.Sprintf("timeout (%s) or fall (%d)", c.Timeout, c.Fall)
		default:
			setting = fmt.Sprintf("timeout (%s)", c.Timeout)
		}
	} else if !t.Told && c.Timeout > c.Interval {
		setting = fmt.Sprintf("timeout (%s), which is longer than interval (%s)", c.Timeout, c.Interval)
	}
	if c.Patience > longest {
		longest, setting = c.Patience, fmt.Sprintf("patience (%s)", c.Patience)
	}
	return driver.Finding{
		Name: "slow-check", Level: driver.LevelWarning, Subject: service + "/" + c.Name,
		Text: fmt.Sprintf("may take %s until a failure is seen (%s)", t.WorstCase, t.Makeup),
		Fix:  fmt.Sprintf("lower %s, which makes up %s of it", setting, Seconds(longest)),
	}
}
