package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// What a report says, and that it prints nothing.
func TestReport(t *testing.T) {
	for line, want := range map[string]api.ReportRequest{
		"report dns/zones up":                               {Check: "dns/zones", Up: true},
		"report dns/zones down --reason CHG-1 --ttl 1500ms": {Check: "dns/zones", Reason: "CHG-1", Seconds: 1.5},
	} {
		e := &fakeEngine{}
		code, out, errs := keepcastSays(t, append(strings.Fields(line), "--socket", answers(t, e))...)
		if code != exitOK || out != "" || errs != "" {
			t.Errorf("%s: exit code %d, %s%s", line, code, out, errs)
		}
		if d := cmp.Diff([]api.ReportRequest{want}, e.reports); d != "" {
			t.Error(d)
		}
	}
}

// A daemon takes reports for its checks of kind push only.
func TestReportToDaemon(t *testing.T) {
	k := start(t, "")
	code, _, errs := keepcastSays(t, "report", "dns/nothing", "up", "-c", k.path("keepcast.yaml"))
	if code != exitFailed || !strings.Contains(errs, `service dns has no check "nothing" (running: `) {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
