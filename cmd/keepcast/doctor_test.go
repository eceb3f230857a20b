package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestReportTable(t *testing.T) {
	const findings = `error: bird: does not include the snippet: [no-include]
        include "/x"; [include]
    fix: add to bird.conf:
        include "/x";
info: keepcast: does not answer [not-running]
`
	const timing = `
From failure to withdrawal at the worst; until the network has converged is to be added.
What is seen at once takes some milliseconds as a rule, and more while a run is under way:
SERVICE  CHECK    WORST CASE  HOW IT COMES ABOUT                    SEEN AT ONCE
dns               2.1s        require all; 3s if every check fails  a crash: within 1s
         answers  2.1s        1.1s + 1s                             it stops: within 1s
         load     5s          5s (degrades, does not withdraw)      nothing
`
	two := []driver.Finding{
		{Level: driver.LevelError, Subject: "bird", Text: "does not include the snippet: [no-include]\ninclude \"/x\";\n", Name: "include", Fix: "add to bird.conf:\ninclude \"/x\";\n"},
		{Level: driver.LevelInfo, Subject: "keepcast", Text: "does not answer", Name: "not-running"},
	}
	const short, long = doctor.Seconds(2100 * time.Millisecond), doctor.Seconds(5 * time.Second)
	services := []doctor.Service{{
		Name: "dns", WorstCase: short, Require: "all", AllFail: doctor.Seconds(3 * time.Second), Crash: doctor.Seconds(time.Second),
		Checks: []doctor.Check{
			{Name: "answers", WorstCase: short, Makeup: "1.1s + 1s", AtOnce: "it stops", Certain: doctor.Seconds(time.Second)},
			{Name: "load", WorstCase: long, Makeup: "5s", OnFailure: "degrade"},
		},
	}}
	all := doctor.Seconds(3 * time.Second)
	polled := []doctor.Service{{Name: "dns", WorstCase: long, Require: "all", AllFail: all}}
	needy := []doctor.Service{{Name: "dns", WorstCase: long, Require: "all", AllFail: all, DependsOn: []string{"ldap", "kdc"}}}
	for name, tt := range map[string]struct {
		report doctor.Report
		want   string
	}{
		"depends on others": {doctor.Report{Services: needy}, "nothing found\n" + strings.SplitAfter(timing, ":\n")[0] +
			"SERVICE  CHECK  WORST CASE  HOW IT COMES ABOUT                                          SEEN AT ONCE\n" +
			"dns             5s          require all; 3s if every check fails; depends on ldap, kdc  nothing\n"},
		"findings and times": {doctor.Report{Findings: two, Services: services}, findings + timing},
		"nothing at once": {doctor.Report{Services: polled}, "nothing found\n" + strings.SplitAfter(timing, ":\n")[0] +
			"SERVICE  CHECK  WORST CASE  HOW IT COMES ABOUT                    SEEN AT ONCE\n" +
			"dns             5s          require all; 3s if every check fails  nothing\n"},
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

// What a running keepcast tells goes into the report: why it refused a reload, or that
// it does not tell.
func TestDoctorAsks(t *testing.T) {
	refused := api.Status{Config: api.ConfigStatus{Error: "fish: no such setting"}}
	for name, tt := range map[string]struct {
		e    *fakeEngine
		want string
	}{
		"not there":       {nil, "not-running info keepcast does not answer on its control socket, so nothing is probed, announced or withdrawn on this host"},
		"all is well":     {&fakeEngine{}, ""},
		"refused":         {&fakeEngine{status: refused}, "reload-refused warning keepcast runs with an older configuration, since it refused the last reload: fish: no such setting"},
		"it does not say": {&fakeEngine{err: errors.New("stopped")}, "not-asked info keepcast runs, but does not tell what it knows: stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, gated)
			drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
			if tt.e != nil {
				answersAt(t, tt.e, filepath.Dir(file)+"/keepcast.sock")
			}
			report, err := (&app{configFile: file}).examine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range report.Findings {
				if f.Subject == "keepcast" {
					got += strings.Join([]string{f.Name, string(f.Level), f.Subject, f.Text}, " ")
				}
			}
			if got != tt.want || len(report.Services) != 1 {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A server that serves any address of the host is seen to need no leave to bind.
func TestDoctorSeesSockets(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	file := written(t, `services: [{name: dns, addresses: ["2001:db8::53"], checks: [{kind: tcp, address: "127.0.0.1:`+port+`"}]}]`)
	report, err := (&app{configFile: file}).examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(report.Findings, func(f driver.Finding) bool { return f.Name == "nonlocal-bind" }); i >= 0 {
		t.Errorf("got %+v", report.Findings[i])
	}
}

// Doctor found nothing where validate and a reload refused the configuration, since the program of
// a check was missing.
func TestDoctorSeesMissingFiles(t *testing.T) {
	file := written(t, `services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: exec, command: [/bin/none]}]}]`)
	report, err := (&app{configFile: file}).examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(report.Findings, func(f driver.Finding) bool { return f.Name == "file-unusable" })
	if i < 0 {
		t.Fatalf("got %+v", report.Findings)
	}
	want := driver.Finding{
		Name: "file-unusable", Level: driver.LevelError, Subject: file + ":1:58",
		Text: "services[dns].checks[exec]: command: /bin/none does not exist",
		Fix:  "correct it; until then validate and a reload refuse the configuration. A start does not, and what needs the file fails",
	}
	if d := cmp.Diff(want, report.Findings[i]); d != "" {
		t.Error(d)
	}
}

// What is announced now, and how, is asked of the running keepcast: the address of a
// withdrawn service need not be there, and a degraded one is looked for as such.
func TestDoctorAsksForServices(t *testing.T) {
	e := &fakeEngine{status: api.Status{Services: []api.ServiceStatus{
		{Name: "dns", Desired: api.Announced}, {Name: "ldap", Desired: api.Degraded}, {Name: "ntp", Desired: api.Withdrawn},
	}}}
	got := running(t.Context(), control.Client{Socket: answers(t, e)}, "")
	want := &doctor.Running{
		Degraded:  map[string]bool{"dns": false, "ldap": true, "ntp": false},
		Withdrawn: map[string]bool{"dns": false, "ldap": false, "ntp": true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A keepcast that hung was a remark of doctor (info), with the advice to run it as root, as
// which the operator had run it.
func TestDoctorOfSilentKeepcast(t *testing.T) {
	file := written(t, gated)
	drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
	socket := filepath.Dir(file) + "/keepcast.sock"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	report, err := (&app{configFile: file}).examine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(report.Findings, func(f driver.Finding) bool { return f.Subject == "keepcast" })
	f := report.Findings[i]
	want := fmt.Sprintf("error not-answering keepcast (pid %d) does not answer on %s for ", os.Getpid(), socket)
	if got := string(f.Level) + " " + f.Name + " " + f.Text; !strings.HasPrefix(got, want) || !strings.HasPrefix(f.Fix, "systemctl restart keepcast") {
		t.Errorf("got %s, fix %s, want %s", got, f.Fix, want)
	}
}

// A keepcast whose socket was gone was not running, to doctor, and nothing was announced.
func TestDoctorOfLockedKeepcast(t *testing.T) {
	file := written(t, gated)
	dir := filepath.Dir(file)
	drivertest.WriteFile(t, dir+"/t", "")
	lock, err := control.TakeLock(t.Context(), dir+"/runtime")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	t.Chdir(dir + "/runtime") // where nobody says which directory that is, it is not this one
	if r := running(t.Context(), control.Client{Socket: dir + "/keepcast.sock"}, ""); r != nil {
		t.Errorf("it runs: %s", r.Silent)
	}
	want := fmt.Sprintf("\nerror: keepcast: keepcast (pid %d) runs, for it holds the lock in %[2]s/runtime, but nobody answers on %[2]s/keepcast.sock; if it hangs, what is announced stays so", os.Getpid(), dir)
	for _, text := range []string{gated, gated + "lingre: 5s\n"} {
		drivertest.WriteFile(t, file, strings.ReplaceAll(text, "DIR", dir))
		code, out, _ := keepcastSays(t, "doctor", "-c", file)
		if code != exitFailed || !strings.Contains("\n"+out, want) {
			t.Errorf("exit code %d, got %s, want %s", code, out, want)
		}
	}
}

// Who may not see the last good configuration is not told that there is none.
func TestDoctorMayNotSeeLastGood(t *testing.T) {
	drivertest.NeedsRoot(t, "to become another user")
	file := written(t, gated+"lingre: 5s\n")
	dir := filepath.Dir(file)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(file, 0o644), os.Mkdir(dir+"/state", 0o700)); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/state/last-good.yaml", strings.ReplaceAll(gated, "DIR", dir))
	cmd := exec.Command("/proc/self/exe", "doctor", "-c", file)
	cmd.Args[0], cmd.Dir = "keepcast", "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.Output() // exit code 1, for the fault
	has(t, string(out), "goes on with what it has, and this user may not see what a start would go on with\n")
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 errors", 1: "1 error", 2: "2 errors"} {
		if got := counted(n, "error"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A plain user who ran doctor was taken for keepcast: "user nobody may not write into
// /run/keepcast", "runs without the capability CAP_NET_ADMIN", with what to do about it.
func TestDoctorOfPlainUser(t *testing.T) {
	drivertest.NeedsRoot(t, "to become another user")
	file := written(t, strings.NewReplacer("{name: file, kind: template, template: DIR/t, output: DIR/out, reload: [\"true\"]}", "{kind: bird, socket: DIR/shut/bird.ctl, snippet: DIR/state/bird.conf}",
		`["true"]`, "[DIR/shut/program]").Replace(gated))
	dir := filepath.Dir(file)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/shut", 0o700), os.Mkdir(dir+"/state", 0o755), os.Mkdir(dir+"/runtime", 0o755)); err != nil {
		t.Fatal(err)
	}
	want := []string{"info not-running", "info account-unknown", "info not-examined"}
	if u, err := user.Lookup("keepcast"); err == nil { // whom it runs as is known here
		uid, _ := strconv.Atoi(u.Uid)
		if err := errors.Join(os.Chown(dir+"/state", uid, -1), os.Chown(dir+"/runtime", uid, -1)); err != nil {
			t.Fatal(err)
		}
		want = []string{"info not-running", "info not-examined"}
	}
	cmd := exec.Command("/proc/self/exe", "doctor", "-o", "json", "-c", file)
	cmd.Args[0], cmd.Dir = "keepcast", "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	var report struct{ Findings []driver.Finding }
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		t.Fatal(err, jsonErr, string(out))
	}
	var found []string
	for _, f := range report.Findings {
		if f.Subject == "keepcast" || f.Subject == "bird" || f.Name == "file-unusable" {
			found = append(found, string(f.Level)+" "+f.Name)
		}
	}
	drivertest.Same(t, "findings", want, found)
}
