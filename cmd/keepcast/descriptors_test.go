package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is wanting is found at the start and at each reload, and logged when it changes.
func TestDescriptors(t *testing.T) {
	var log drivertest.Buffer
	limit, unknown := uint64(64), error(nil)
	d := &descriptors{limit: func() (uint64, error) { return limit, unknown }, log: newLogger(&log, levelVar("info"))}
	small, large := config.Defaults(), config.Defaults()
	small.Listen = ""
	large.Listen, large.Drivers = ":9911", make([]config.Driver, 3)
	for _, step := range []struct {
		cfg    *config.Config
		limit  uint64
		err    error
		needed string // of the finding; empty: there is none
		logged int    // lines in all
	}{
		{small, 64, nil, "", 0},
		{large, 64, nil, "needs up to 164: ", 1},
		{large, 64, nil, "needs up to 164: ", 1},
		{small, 63, nil, "needs up to 64: ", 2},
		{large, 0, errors.New("no"), "needs up to 64: ", 3}, // it stays
		{large, 164, nil, "", 3},
	} {
		limit, unknown = step.limit, step.err
		d.compare(step.cfg)
		text := ""
		if f := d.finding.Load(); f != nil {
			text = f.Text
		}
		if !strings.Contains(text, step.needed) || (text == "") != (step.needed == "") {
			t.Errorf("found %q, want %q", text, step.needed)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != step.logged {
			t.Errorf("%d lines, want %d: %s", got, step.logged, log.String())
		}
	}
}

// The limit of the process itself is looked at, and status, metrics and log tell of it.
func TestRunWithFewDescriptors(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = 81 // one less than it may need, and enough for what it does
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
	k := start(t, "")
	k.logged(`level=WARN msg="too few descriptors" err="may have 81 descriptors, and needs up to 82: `)
	_, out, _ := keepcastSays(t, "status", "-c", k.path("keepcast.yaml"))
	has(t, out, "\nwarning keepcast (descriptors-few)\n  may have 81 descriptors, and needs up to 82: ")
	has(t, k.get("/metrics"), `keepcast_driver_finding{driver="keepcast",finding="descriptors-few",level="warning",subject="keepcast"} 1`)
	k.write("keepcast.yaml", gated+"defaults: {interval: 5s}\n")
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	s, err := k.client().Reload(t.Context())
	if err != nil || len(s.Findings) > 0 {
		t.Errorf("after a reload with enough: %v, %v", s.Findings, err)
	}
}
