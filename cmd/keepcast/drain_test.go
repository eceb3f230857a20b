package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// An operator is told of the services that were named, and the engine what was meant.
func TestDrainAndResume(t *testing.T) {
	status := api.Status{Services: []api.ServiceStatus{
		{Name: "dns", State: api.Draining, Reason: "drained: CHG-1"},
		{Name: "web", State: api.Announced, Reason: "all checks up"},
		{Name: "ldap", State: api.Withdrawn, Reason: "tcp is down"},
	}}
	const dns, web, ldap = "dns: draining (drained: CHG-1)\n", "web: announced (all checks up)\n", "ldap: withdrawn (tcp is down)\n"
	for name, tt := range map[string]struct {
		args  []string
		order api.DrainRequest
		out   string
	}{
		"one":        {[]string{"drain", "dns", "--reason", "CHG-1"}, api.DrainRequest{Services: []string{"dns"}, Reason: "CHG-1"}, dns},
		"two":        {[]string{"drain", "ldap", "dns"}, api.DrainRequest{Services: []string{"ldap", "dns"}}, dns + ldap},
		"all":        {[]string{"drain", "--all"}, api.DrainRequest{}, dns + web + ldap},
		"resume":     {[]string{"resume", "web"}, api.DrainRequest{Services: []string{"web"}}, web},
		"resume all": {[]string{"resume", "--all"}, api.DrainRequest{}, dns + web + ldap},
	} {
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{status: status}
			code, out, errs := keepcastSays(t, append(tt.args, "--socket", answers(t, e))...)
			if code != exitOK || errs != "" || out != tt.out {
				t.Errorf("exit code %d, %s, got %s, want %s", code, errs, out, tt.out)
			}
			if d := cmp.Diff([]api.DrainRequest{tt.order}, e.orders, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

// A drain for a time ends by itself, after that time.
func TestDrainFor(t *testing.T) {
	e := &fakeEngine{}
	from := time.Now()
	if code, _, errs := keepcastSays(t, "drain", "--all", "--for", "2h", "--socket", answers(t, e)); code != exitOK {
		t.Fatal(code, errs)
	}
	if until := e.orders[0].Until; until.Before(from.Add(2*time.Hour)) || until.After(time.Now().Add(2*time.Hour)) {
		t.Errorf("until %s", until)
	}
}
