package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
)

func TestReportTable(t *testing.T) {
	const findings = `error: bird: does not include the snippet: [no-include]
        include "/x"; [include]
    fix: add to bird.conf:
        include "/x";
info: keepcast: does not answer [not-running]
`
	const timing = `
From failure to withdrawal at the worst; until the network has converged is to be added:
SERVICE  CHECK    WORST CASE  HOW IT COMES ABOUT
dns               2.1s        require all; 3s if every check fails
         answers  2.1s        1.1s + 1s
         load     5s          5s (degrades, does not withdraw)
`
	two := []driver.Finding{
		{Level: driver.LevelError, Subject: "bird", Text: "does not include the snippet: [no-include]\ninclude \"/x\";\n", Name: "include", Fix: "add to bird.conf:\ninclude \"/x\";\n"},
		{Level: driver.LevelInfo, Subject: "keepcast", Text: "does not answer", Name: "not-running"},
	}
	const short, long = doctor.Seconds(2100 * time.Millisecond), doctor.Seconds(5 * time.Second)
	services := []doctor.Service{{
		Name: "dns", WorstCase: short, Require: "all", AllFail: doctor.Seconds(3 * time.Second),
		Checks: []doctor.Check{
			{Name: "answers", WorstCase: short, Makeup: "1.1s + 1s"},
			{Name: "load", WorstCase: long, Makeup: "5s", OnFailure: "degrade"},
		},
	}}
	for name, tt := range map[string]struct {
		report doctor.Report
		want   string
	}{
		"findings and times":  {doctor.Report{Findings: two, Services: services}, findings + timing},
		"a bad configuration": {doctor.Report{Findings: two}, findings},
		"nothing":             {doctor.Report{Services: services}, "nothing found\n" + timing},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := reportTable(&b, tt.report); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, trailing.ReplaceAllString(b.String(), "")); d != "" {
				t.Error(d)
			}
		})
	}
}
