package engine

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// published is what the loop shows of itself. It is replaced as a whole and never
// changed, so whoever asks reads it: no client makes the loop wait, or waits for it.
type published struct {
	cfg         *config.Config
	loaded      time.Time
	reloadError string
	lastGood    bool
	stopping    bool
	services    []*service // each shows itself, see service.show
	reports     map[string]reconcile.Report
	departing   map[string]reconcile.Report
	behind      map[string]time.Time
	found       []driver.Finding
}

// publish shows the present state to those who ask.
func (e *Engine) publish() {
	e.published.Store(&published{
		cfg: e.cfg, loaded: e.loaded, reloadError: e.reloadError, lastGood: e.lastGood, stopping: e.stopping, services: e.services,
		reports: maps.Clone(e.reports), departing: maps.Clone(e.departing), behind: maps.Clone(e.behind), found: e.found,
	})
}

// show publishes the service as it is at the time now.
func (e *Engine) show(s *service, now time.Time) {
	shown := *s
	shown.drain = e.drains.active(s.cfg.Name, now)
	shown.needs, shown.checks = nil, make([]*check, len(s.checks))
	for i, c := range s.checks {
		shown.checks[i] = &check{cfg: c.cfg, result: c.result, void: c.void, lost: c.lost}
	}
	s.shown.Store(&shown)
}

// turned notes that the loop made another turn.
func (e *Engine) turned(now time.Time) {
	e.turn.Store(&now)
	e.opts.Alive()
}

// beat is the longest time between two turns of the loop. A drain that ends at a time of
// day ends no later than that after the clock was set.
const beat = 5 * time.Second

// errStarting is the answer before the host was looked at.
var errStarting = errors.New("keepcast is starting: it has not looked at the host yet")

// ended returns an error if the loop has ended.
func (e *Engine) ended() error {
	select {
	case <-e.quit:
		return api.ErrStopped
	default:
		return nil
	}
}

// Alive returns an error if the loop has not turned for three beats, or has ended.
func (e *Engine) Alive() error {
	if err := e.ended(); err != nil {
		return err
	}
	turn := e.turn.Load()
	if turn == nil {
		return errStarting
	}
	if idle := time.Since(*turn); idle > 3*beat {
		return fmt.Errorf("keepcast has decided nothing for %s", idle.Round(time.Second))
	}
	return nil
}
