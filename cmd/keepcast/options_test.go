package main

import (
	"errors"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// The engine took what tells it that keepcast is late, and run did not hand it on: no
// timeout was ever excused. Nothing that the engine takes is forgotten.
func TestOptionsOfRun(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "9000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	d := &daemon{
		cfg: config.Defaults(), log: slog.New(slog.DiscardHandler), metrics: engine.NewMetrics(prometheus.NewRegistry()),
		hurry: make(chan struct{}), refused: errors.New("fish: no such setting"), open: func(config.Driver) {},
	}
	o := d.options()
	if o.Pulse != &d.pulse {
		t.Error("the pulse is not that which beats")
	}
	for field, value := range reflect.ValueOf(o).Fields() {
		if value.IsZero() {
			t.Errorf("run does not set %s", field.Name)
		}
	}
}

// A driver left the configuration while its daemon could load nothing. The next start ended
// in a panic, each time, and then in the fail-safe: what is to open such a driver was missing.
func TestDepartedAfterRestart(t *testing.T) {
	k := start(t, "on_stop: keep\n")
	const other = `{name: other, kind: template, template: DIR/t, output: DIR/other, check: [test, "!", -e, DIR/stuck], reload: ["true"]}`
	both := strings.Replace(gated, "drivers: [", "drivers: ["+other+", ", 1)
	k.write("keepcast.yaml", both+"on_stop: keep\n")
	if _, err := k.client().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := func() bool {
		text, err := os.ReadFile(k.path("other"))
		return err == nil && len(text) > 0
	}
	drivertest.Eventually(t, "the other gate is open", open)
	k.write("stuck", "")
	k.write("keepcast.yaml", gated+"on_stop: keep\n")
	if _, err := k.client().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "what left is saved", func() bool {
		return strings.Contains(drivertest.ReadFile(t, k.path("runtime/state.json")), k.path("other"))
	})
	k.stop()
	k.write("other", "192.0.2.53/32\n") // the stop may have been in the midst of a try
	if err := os.Remove(k.path("stuck")); err != nil {
		t.Fatal(err)
	}
	stop := k.again()
	drivertest.Eventually(t, "the other gate is closed", func() bool { return !open() })
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
