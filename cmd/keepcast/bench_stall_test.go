package main

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// stall is what hangs beside the way.
type stall struct {
	log, files, driver bool
	clients            int // that ask for the status all the time
}

// BenchmarkStalledVerdict measures the same while something beside that way hangs. The
// same without the stall is measured in the same run: "of-calm" is how many times as long it
// takes, "longest-ms" is what counts.
func BenchmarkStalledVerdict(b *testing.B) {
	p := netip.MustParsePrefix("192.0.2.53/32")
	for _, tc := range []struct {
		name string
		stall
	}{
		{"log", stall{log: true}}, {"files", stall{files: true}}, {"driver", stall{driver: true}}, {"clients", stall{clients: 32}},
	} {
		var calm time.Duration // for a verdict each way
		b.Run(tc.name+", calm", func(b *testing.B) {
			calm, _ = newWay(b, p, 1, stall{}).verdicts()
		})
		b.Run(tc.name+", stalled", func(b *testing.B) {
			each, longest := newWay(b, p, 1, tc.stall).verdicts()
			b.ReportMetric(float64(each)/float64(calm), "of-calm")
			b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
		})
	}
}

// verdicts measures verdicts, each way, and the longest of them.
func (w *way) verdicts() (each, longest time.Duration) {
	w.b.Helper()
	for w.b.Loop() {
		for _, up := range []bool{false, true} {
			took := w.verdict(up)
			each, longest = each+took, max(longest, took)
		}
	}
	each /= time.Duration(w.b.N)
	w.b.ReportMetric(float64(each), "ns/op")
	return each, longest
}

// hang has what the stall names hang.
func (s stall) hang(w *way, cfg *config.Config, opts *engine.Options) {
	if s.log {
		out := &unread{open: make(chan struct{})}
		queue := newLogQueue(out)
		w.b.Cleanup(func() {
			close(out.open)
			queue.close()
		})
		opts.Log = newLogger(queue, slog.LevelDebug)
	}
	if s.files {
		dir, _ := drivertest.HangingDir(w.b)
		cfg.RuntimeDir = dir
	}
	if s.driver {
		cfg.Drivers = append(cfg.Drivers, config.Driver{Name: "hangs", Kind: "template", Driver: hangingDriver{}})
	}
}

// hangingDriver answers nothing until its time is over.
type hangingDriver struct{}

func (hangingDriver) Apply(ctx context.Context, _ driver.State) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hangingDriver) Observe(ctx context.Context) (driver.State, error) {
	<-ctx.Done()
	return driver.State{}, ctx.Err()
}

// ask asks for the status all the time.
func (w *way) ask(ctx context.Context) {
	for ctx.Err() == nil {
		_, _ = w.engine.Status() // an error is that it has not started, or has ended
		runtime.Gosched()
	}
}
