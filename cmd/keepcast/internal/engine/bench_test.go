package engine

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// BenchmarkDecide measures what the engine's goroutine does with 1,000 services after a
// result of one check, or of one check of each service.
func BenchmarkDecide(b *testing.B) {
	up, down := health.Result{Verdict: health.Up}, health.Result{Verdict: health.Down, Err: errDead}
	for _, what := range []struct {
		name    string
		results [2]health.Result // in turn
		of      int
		changes int // of the desired state, by each turn
	}{
		{"no service changes", [2]health.Result{up, up}, 1, 0},
		{"one service flaps", [2]health.Result{down, up}, 1, 1},
		{"all services flap", [2]health.Result{down, up}, 1000, 1},
	} {
		b.Run(what.name, func(b *testing.B) {
			e := announcing(b, 1000)
			before := e.posted.Gen
			b.ReportAllocs()
			for turn := 0; b.Loop(); turn++ {
				for _, s := range e.services[:what.of] {
					e.learn(s.checks[0], what.results[turn%2])
				}
				if e.undecided {
					e.decide()
				}
			}
			if changes := e.posted.Gen - before; changes != what.changes*b.N {
				b.Errorf("%d changes in %d turns", changes, b.N)
			}
		})
	}
}

// BenchmarkStatus measures taking the status of 1,000 services.
func BenchmarkStatus(b *testing.B) {
	e := announcing(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = e.Status()
	}
}

// announcing returns an engine that has announced services. Nothing of it runs.
func announcing(b *testing.B, services int) *Engine {
	b.Helper()
	e := New(benchConfig(b, services), Options{
		Kernel: &fakeKernel{journal: &journal{}, have: map[netip.Prefix]driver.Presence{}},
		Log:    slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	if err := e.start(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, s := range e.services {
		for _, c := range s.checks {
			e.learn(c, health.Result{Verdict: health.Up})
		}
	}
	e.decide()
	return e
}

// benchConfig is a configuration of services with two addresses and two checks each.
func benchConfig(b *testing.B, services int) *config.Config {
	b.Helper()
	memory, err := os.MkdirTemp("/dev/shm", "keepcast-bench-") // as /run is
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(memory) })
	cfg := &config.Config{}
	cfg.Interface, cfg.ManageAddresses, cfg.RuntimeDir, cfg.StateDir = "anycast0", true, memory, memory
	v4, v6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8::1")
	for i := range services {
		s := config.Service{Name: fmt.Sprint("service", i), Addresses: []config.Address{{Prefix: netip.PrefixFrom(v4, 32)}, {Prefix: netip.PrefixFrom(v6, 128)}}}
		s.Linger, s.WhileWithdrawn = 10*time.Second, "deliver"
		for _, name := range []string{"answers", "unit"} {
			s.Checks = append(s.Checks, config.Check{Name: name, Kind: "fake", OnFailure: "withdraw"})
		}
		cfg.Services = append(cfg.Services, s)
		v4, v6 = v4.Next(), v6.Next()
	}
	return cfg
}
