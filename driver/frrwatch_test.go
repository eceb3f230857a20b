package driver

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// The directory may be missing, come, go and come again; a daemon that answers
// from the start is no news, one that goes or comes is.
func TestFRRWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "frr")
	f := testFRR(dir, "bgpd", "ospfd")
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Watch(ctx, func() { told.Add(1) }) }()
	ok := func(string) string { return frrDone }

	for round := range 2 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		told.Store(0)
		bgpd := newFakeDaemon(t, filepath.Join(dir, "bgpd.vty"), ok)
		frrUntil(t, "told that bgpd is there", func() bool {
			// Whether the first round began before the watch did is open.
			return bgpd.connected() && (told.Load() > 0 || round == 0)
		})
		told.Store(0)
		bgpd.stop()
		frrUntil(t, "told that bgpd is gone", func() bool { return told.Load() > 0 })
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("watch ended with %v", err)
	}
}

func TestFRRWatchNoNews(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeDaemon(t, filepath.Join(dir, "bgpd.vty"), func(string) string { return frrDone })
	f := testFRR(dir, "bgpd")
	var told atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Watch(ctx, func() { told.Add(1) }) }()
	frrUntil(t, "the watch is in place", bgpd.connected)
	cancel()
	if err := <-ended; err != nil || told.Load() != 0 {
		t.Errorf("a daemon that was there: told %d times, %v", told.Load(), err)
	}
}

func (f *fakeDaemon) connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns) > 0
}
