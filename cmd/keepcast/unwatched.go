package main

import (
	"context"
	"time"

	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// watchSockets runs the watch of the sockets of the services until ctx is done, and begins
// again where it breaks off.
func watchSockets(ctx context.Context, w *sockets.Watch) {
	pace.Keep(ctx, time.Second, 30*time.Second, w.Run, nil)
}

// unwatched returns what is found while the watch does not work.
func unwatched(w *sockets.Watch) func() *driver.Finding {
	return func() *driver.Finding { return doctor.Unwatched(w.Broken()) }
}
