package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// again runs "keepcast run" in the directory of an instance that has ended, until the test
// ends or stop is called.
func (k *instance) again() (stop func() int) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- keepcast(ctx, []string{"run", "-c", k.path("keepcast.yaml")}, io.Discard, &k.log) }()
	ended := false
	stop = func() int {
		if ended {
			return 0
		}
		ended = true
		cancel()
		return <-code
	}
	k.t.Cleanup(func() { stop() })
	return stop
}

// A restart with a bad file ended in the fail-safe: ten starts were used up in 1.4 s, and
// all services of the host were withdrawn for one letter.
func TestLastGood(t *testing.T) {
	k := start(t, "on_stop: keep\n")
	k.stop()
	k.write("out", "") // only a keepcast that runs writes it again
	k.write("keepcast.yaml", gated+"lingre: 5s\n")
	fault := k.path("keepcast.yaml") + ":10:1: lingre: no such setting"
	stop := k.again()
	drivertest.Eventually(t, "dns is announced", func() bool { return k.gate() == "192.0.2.53/32\n" })

	k.logged(`level=ERROR msg="the configuration is not valid: going on with the one that was in force last" file=` + k.path("state/last-good.yaml") + ` err="` + fault)
	s, err := k.client().Status(t.Context())
	if err != nil || !s.Config.LastGood || !strings.HasPrefix(s.Config.Error, fault) {
		t.Errorf("status: %+v, %v", s.Config, err)
	}
	has(t, k.get("/metrics"), "\nkeepcast_config_last_reload_successful 0\n")
	if loads := "\nkeepcast_config_last_reload_success_timestamp_seconds "; strings.Contains(k.get("/metrics"), loads) {
		t.Error("a metric tells of a load that succeeded")
	}
	const note = "note: keepcast was started with files that were not valid, and runs on the last good configuration until a reload: keepcast reload\n"
	if code, out, errs := keepcastSays(t, "validate", "-c", k.path("keepcast.yaml")); code != exitConfig || out != note || !strings.HasPrefix(errs, fault) {
		t.Errorf("validate: exit code %d, %s%s", code, out, errs)
	}
	// doctor said that keepcast could not start with this, as which it runs.
	_, out, _ := keepcastSays(t, "doctor", "-c", k.path("keepcast.yaml"))
	has(t, out, "error: "+k.path("keepcast.yaml")+":10:1: lingre: no such setting",
		"and a start goes on with what was in force last ("+k.path("state/last-good.yaml")+")\n",
		"warning: keepcast: was started with files that are not valid, and runs on what was in force before them: "+fault)
	_, out, _ = keepcastSays(t, "status", "-c", k.path("keepcast.yaml"))
	has(t, out, "\nkeepcast was started with files that are not valid. It runs on what was in force before them ("+k.path("state/last-good.yaml")+"):\n"+fault)

	k.write("keepcast.yaml", gated)
	if _, out, _ := keepcastSays(t, "validate", "-c", k.path("keepcast.yaml")); !strings.HasPrefix(out, note+"valid: ") {
		t.Errorf("validate: %s", out)
	}
	if s, err := k.client().Reload(t.Context()); err != nil || s.Config.LastGood || s.Config.Error != "" {
		t.Errorf("reload: %+v, %v", s.Config, err)
	}
	drivertest.Eventually(t, "the metric is good again", func() bool {
		page := k.get("/metrics")
		return strings.Contains(page, "\nkeepcast_config_last_reload_successful 1\n") && strings.Contains(page, "\nkeepcast_config_last_reload_success_timestamp_seconds ")
	})
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// Where there is nothing to go on with, or the operator wants it so, a start with a bad
// file ends, and the fail-safe does its work.
func TestNoLastGood(t *testing.T) {
	const bad = gated + "lingre: 5s\n"
	const ends = "a start ends, for there is nothing that was in force before\n"
	for name, tt := range map[string]struct{ text, last, want, doctor string }{
		"none": {bad, "", "", ends},
		"exit": {
			bad, gated + "on_bad_configuration: exit\n", "keepcast: can't go on with what was in force last: on_bad_configuration is exit\n",
			"a start ends, for it can't go on with what was in force last: on_bad_configuration is exit\n",
		},
		"bad too": {
			bad, "raise: 5\n" + gated, "keepcast: can't go on with what was in force last: the last good configuration: DIR/state/last-good.yaml:1:1: raise: no such setting\n",
			"a start ends, for it can't go on with what was in force last: the last good configuration: DIR/state/last-good.yaml:1:1: raise: no such setting\n",
		},
		// The default directory may be that of another keepcast of the host.
		"nobody says where": {strings.Replace(bad, "state_directory: DIR/state\n", "", 1), gated, "", ends},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, tt.text)
			dir := strings.TrimSuffix(file, "/keepcast.yaml")
			if tt.last != "" {
				if err := os.Mkdir(dir+"/state", 0o755); err != nil {
					t.Fatal(err)
				}
				drivertest.WriteFile(t, dir+"/state/last-good.yaml", strings.ReplaceAll(tt.last, "DIR", dir))
			}
			drivertest.WriteFile(t, dir+"/t", "")
			code, _, errs := keepcastSays(t, "run", "-c", file)
			if got := strings.ReplaceAll(errs, dir, "DIR"); code != exitConfig || !strings.HasPrefix(got, tt.want+"DIR/keepcast.yaml:") {
				t.Errorf("exit code %d, got %s", code, got)
			}
			_, out, _ := keepcastSays(t, "doctor", "-c", file)
			has(t, strings.ReplaceAll(out, dir, "DIR"), "goes on with what it has, and "+tt.doctor)
		})
	}
}

// Files that do not say their state_directory are not those of whatever lies where somebody
// happens to stand.
func TestLastGoodOfNobody(t *testing.T) {
	file := written(t, "fish: 1\n")
	dir := strings.TrimSuffix(file, "/keepcast.yaml")
	drivertest.WriteFile(t, dir+"/last-good.yaml", strings.ReplaceAll(gated, "DIR", dir))
	drivertest.WriteFile(t, dir+"/t", "")
	t.Chdir(dir)
	a := &app{configFile: file}
	for name, take := range map[string]func() (*config.Config, error){"a start": a.goOn, "a withdrawal": a.lastGood} {
		if cfg, err := take(); cfg != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, %v", name, cfg, err)
		}
	}
}

// After a reboot with a broken file, withdraw-all did not know the gates of the daemons.
func TestWithdrawAllByLastGood(t *testing.T) {
	file := written(t, gated+"lingre: 5s\n")
	dir := strings.TrimSuffix(file, "/keepcast.yaml")
	if err := os.Mkdir(dir+"/state", 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/state/last-good.yaml", strings.ReplaceAll(gated, "DIR", dir))
	drivertest.WriteFile(t, dir+"/t", "")
	drivertest.WriteFile(t, dir+"/out", "open")
	code, out, errs := keepcastSays(t, "withdraw-all", "-c", file)
	want := "going by the last good configuration (" + dir + "/state/last-good.yaml)\nfile: the gate is closed\n"
	if code != exitOK || !strings.HasPrefix(out, want) || drivertest.ReadFile(t, dir+"/out") != "" {
		t.Errorf("exit code %d, got %s%s, want %s", code, out, errs, want)
	}
}

// Why the last good configuration is not gone by was not said: an operator looked for it, and
// it was there.
func TestWithdrawAllDistrustsLastGood(t *testing.T) {
	file := written(t, "manage_addresses: false\nruntime_directory: DIR/runtime\nstate_directory: DIR/state\ncontrol_socket: DIR/k.sock\n")
	dir := strings.TrimSuffix(file, "/keepcast.yaml")
	if err := os.Mkdir(dir+"/state", 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/state/last-good.yaml", strings.ReplaceAll(gated, "DIR", dir))
	drivertest.WriteFile(t, dir+"/t", "")
	if err := os.Chmod(dir+"/state", 0o777); err != nil {
		t.Fatal(err)
	}
	code, out, _ := keepcastSays(t, "withdraw-all", "-c", file)
	want := "\n  the last good one: " + dir + "/state: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w " + dir + "/state\n"
	if code != exitFailed || !strings.Contains(out, want) {
		t.Errorf("exit code %d, got %s, want %s", code, out, want)
	}
}
