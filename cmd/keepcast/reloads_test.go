package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// hangingReload is a reload that hangs until it may end.
type hangingReload struct {
	may   chan error
	begun int
}

func (h *hangingReload) load() error {
	h.begun++
	return <-h.may
}

// reloading runs reloads in a bubble.
func reloading(t *testing.T, test func(t *testing.T, r *reloads, h *hangingReload, hangups chan<- os.Signal)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hangingReload{may: make(chan error)}
		r := newReloads(h.load)
		ctx, end := context.WithCancel(t.Context())
		hangups := make(chan os.Signal, 1)
		go r.run(ctx, hangups)
		test(t, r, h, hangups)
		end()
		<-r.ended
		if err := r.order(t.Context()); !errors.Is(err, api.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// ordered orders a reload, and returns what came of it and how long that took.
func ordered(ctx context.Context, r *reloads) (string, time.Duration) {
	began := time.Now()
	err := r.order(ctx)
	return drivertest.ErrText(err), time.Since(began)
}

// While the directory of the configuration hung, each reload waited behind the one before and
// held a connection: 32 of them, and nobody could drain the host. There is one, which nobody
// waits for longer than the command does, and the others are refused at once.
func TestReloadHangs(t *testing.T) {
	reloading(t, func(t *testing.T, r *reloads, h *hangingReload, _ chan<- os.Signal) {
		var orders sync.WaitGroup
		orders.Go(func() {
			const want = "the reload has not ended after 8s, and goes on: a file system of the configuration hangs, or the host is very busy " +
				`(the log tells what becomes of it, "keepcast status" what is in force)`
			if got, took := ordered(t.Context(), r); got != want || took != reloadLimit {
				t.Errorf("after %s: %s", took, got)
			}
		})
		for _, before := range []string{"5s", "10s", "15s"} {
			time.Sleep(5 * time.Second)
			got, took := ordered(t.Context(), r)
			want := "another reload is at work, for " + before + " by now, and this one is refused: it may have read the files before they changed. " +
				`Reload again once it has ended (the log tells what becomes of it, "keepcast status" what is in force; if it does not end, a file system hangs)`
			if got != want || took != 0 {
				t.Errorf("after %s: %s, want %s", took, got, want)
			}
		}
		orders.Wait()
		h.may <- nil
		synctest.Wait()
		refused := errors.New("it has a fault")
		orders.Go(func() { h.may <- refused })
		if got, _ := ordered(t.Context(), r); got != refused.Error() {
			t.Errorf("the next one: %s", got)
		}
		orders.Wait()
		if h.begun != 2 {
			t.Errorf("%d reloads, want 2", h.begun)
		}
	})
}

// Who gives up a reload is not waited for. One by SIGHUP is no other order: the files may have
// changed since, so they are read once more.
func TestReloadGivenUp(t *testing.T) {
	reloading(t, func(t *testing.T, r *reloads, h *hangingReload, hangups chan<- os.Signal) {
		hangups <- syscall.SIGHUP
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, took := ordered(ctx, r); got != context.DeadlineExceeded.Error() || took != time.Second {
			t.Errorf("after %s: %s", took, got)
		}
		h.may <- nil
		h.may <- nil
		synctest.Wait()
		if h.begun != 2 {
			t.Errorf("%d reloads, want 2", h.begun)
		}
	})
}
