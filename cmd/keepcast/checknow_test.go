package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// An operator reads the verdict of each check, and what this run found where that is not it.
func TestCheckNow(t *testing.T) {
	checked := func(c api.CheckStatus) api.CheckedNow {
		c.Name, c.Seconds = "answers", 0.0012
		return api.CheckedNow{Service: "dns", CheckStatus: c, InARow: 1, Takes: 3}
	}
	pending := checked(api.CheckStatus{Verdict: health.Up, Error: "refused"})
	pending.Pending = true
	enough, patient := checked(api.CheckStatus{Verdict: health.Down}), checked(api.CheckStatus{Verdict: health.Up, Error: "refused"})
	enough.InARow, patient.InARow = 3, 0
	for name, tt := range map[string]struct {
		check api.CheckedNow
		out   string
		errs  string
	}{
		"up":          {checked(api.CheckStatus{Verdict: health.Up}), "up (1.2ms)", ""},
		"down":        {checked(api.CheckStatus{Verdict: health.Down, Error: "got a\n\x1b[2Jb"}), `down (1.2ms): got a; \u001b[2Jb`, "1 of 1 checks failed"},
		"still up":    {checked(api.CheckStatus{Verdict: health.Up, Error: "refused"}), "up (1.2ms), but this run failed (1 of the 3 in a row that make it down): refused", "1 of 1 checks failed"},
		"still down":  {checked(api.CheckStatus{Verdict: health.Down}), "down (1.2ms), but this run is fit (1 of the 3 in a row that make it up)", ""},
		"not decided": {checked(api.CheckStatus{Verdict: health.Unknown}), "unknown (1.2ms), but this run is fit (1 of the 3 in a row that make it up)", ""},
		"enough":      {enough, "down (1.2ms), but this run is fit", ""}, // they are to begin anew since the service went
		"patience":    {patient, "up (1.2ms), but this run failed: refused", "1 of 1 checks failed"},
		"void":        {checked(api.CheckStatus{Verdict: health.Up, Error: "too many open files", Void: true}), "up (1.2ms), for this run is void, which says nothing of the service: too many open files", "1 of 1 checks could not be run"},
		"pending":     {pending, "up, as before: this run has not ended yet", "1 of 1 checks could not be run"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{checked: []api.CheckedNow{tt.check}}
			code, out, errs := keepcastSays(t, "check-now", "dns/answers", "--socket", answers(t, e))
			if want := "dns/answers: " + tt.out + "\n"; out != want {
				t.Errorf("got  %s\nwant %s", out, want)
			}
			wantErrs, wantCode := "", exitOK
			if tt.errs != "" {
				wantErrs, wantCode = "keepcast: "+tt.errs+"\n", exitFailed
			}
			if code != wantCode || errs != wantErrs {
				t.Errorf("exit code %d, %s", code, errs)
			}
			if d := cmp.Diff([]api.DrainRequest{{Services: []string{"dns/answers"}}}, e.orders); d != "" {
				t.Error(d)
			}
		})
	}
	e := &fakeEngine{checked: []api.CheckedNow{pending, checked(api.CheckStatus{Error: "refused"}), checked(api.CheckStatus{Verdict: health.Up})}}
	code, _, errs := keepcastSays(t, "check-now", "--all", "--socket", answers(t, e))
	if want := "keepcast: 1 of 3 checks failed, and 1 could not be run\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if d := cmp.Diff([]api.DrainRequest{{}}, e.orders, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

// A run that was asked for is one of the running keepcast.
func TestCheckNowOfDaemon(t *testing.T) {
	k := start(t, "")
	for _, what := range []string{"--all", "dns", "dns/exec"} {
		code, out, errs := keepcastSays(t, "check-now", what, "-c", k.path("keepcast.yaml"))
		if code != exitOK || errs != "" || !strings.HasPrefix(out, "dns/exec: ") {
			t.Errorf("%s: exit code %d, %s%s", what, code, out, errs)
		}
	}
	code, out, errs := keepcastSays(t, "check-now", "web", "-c", k.path("keepcast.yaml"))
	if want := "keepcast: no service \"web\" (running: dns)\n"; code != exitFailed || out != "" || errs != want {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}
