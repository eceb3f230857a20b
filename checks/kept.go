package checks

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks/health"
)

// kept is the connection over HTTP that a check keeps for its next run. The zero kept has
// none yet, and a nil one keeps none.
type kept struct {
	by atomic.Pointer[keptTransport]
}

type keptTransport struct {
	*http.Transport
	device string // the network device that its connections are bound to
}

// keptIdle is how long a connection is kept that no run has used.
const keptIdle = 2 * time.Minute

// transport returns that of the run before, or a new one. The guard is asked as if the
// connection were new, and a service that is in another VRF by now is asked there.
func (k *kept) transport(ctx context.Context, w wire, to netip.Addr) (*http.Transport, error) {
	name, err := device(ctx)
	if err == nil && to.IsValid() {
		err = guarded(ctx, to)
	}
	if err != nil {
		return nil, health.Void(err)
	}
	if old := k.by.Load(); old != nil && old.device == name {
		return old.Transport, nil
	}
	k.drop()
	w.keep = true
	t := &keptTransport{w.transport(), name}
	t.IdleConnTimeout = keptIdle
	k.by.Store(t)
	return t.Transport, nil
}

// drop ends the connection, so that the next run makes a new one.
func (k *kept) drop() {
	if k == nil {
		return
	}
	if old := k.by.Swap(nil); old != nil {
		old.CloseIdleConnections()
	}
}

// finish has the connection serve the next run. For that the body of the response has to be
// read to its end, if that is not far.
func finish(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
}

type runKey struct{}

// withRun returns a context by which a dial finds that of the run it is for. net/http has the
// dial outlive the request else, to serve the next one.
func withRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, runKey{}, ctx)
}

// runOf returns the context of the run that a dial is for, see withRun.
func runOf(dialing context.Context) context.Context {
	run, _ := dialing.Value(runKey{}).(context.Context)
	return run
}
