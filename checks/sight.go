package checks

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Sight is what one run of a check sees on its way, for an operator who asks (keepcast
// probe). Secrets are no part of it: it is held to what an error may say. A nil Sight
// sees nothing.
type Sight struct {
	mu     sync.Mutex // guards what follows: a check may do two things side by side
	start  time.Time
	seen   []Seen
	awaits string
}

// Seen is one thing that a run saw.
type Seen struct {
	After time.Duration // since the run began
	What  string        // a word: connected, tls, certificate, banner, answer
	Text  string        // one line
}

type sightKey struct{}

// WithSight returns a context under which a run of a check notes in s what it sees. The
// time counts from now.
func WithSight(ctx context.Context, s *Sight) context.Context {
	s.start = time.Now()
	return context.WithValue(ctx, sightKey{}, s)
}

// sight returns where a run notes what it sees; nil if nobody asks.
func sight(ctx context.Context) *Sight {
	s, _ := ctx.Value(sightKey{}).(*Sight)
	return s
}

// saw notes what came, and ends the wait for it.
func (s *Sight) saw(what, format string, args ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaits = ""
	s.seen = append(s.seen, Seen{time.Since(s.start), what, fmt.Sprintf(format, args...)})
}

// waits notes what the run waits for from now on.
func (s *Sight) waits(format string, args ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaits = fmt.Sprintf(format, args...)
}

// Seen returns what the run has seen so far, and what it waits for; nothing if for nothing.
func (s *Sight) Seen() (seen []Seen, awaits string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Seen(nil), s.seen...), s.awaits
}
