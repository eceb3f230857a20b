package checks

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Sight is what one run of a check sees on its way, for an operator who asks (keepcast
// probe). Secrets are no part of it: it is held to what an error may say. A nil Sight
// sees nothing, and costs nothing: whoever makes words for it asks first whether there is
// one.
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

// What a service says has no end of its own.
const (
	mostSeen     = 64  // things that one run notes
	mostSeenText = 512 // bytes of the text of one
)

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
	if len(s.seen) < mostSeen {
		s.seen = append(s.seen, Seen{time.Since(s.start), what, seenLine(fmt.Sprintf(format, args...))})
	}
}

// waits notes what the run waits for from now on.
func (s *Sight) waits(format string, args ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaits = seenLine(fmt.Sprintf(format, args...))
}

// Seen returns what the run has seen so far, and what it waits for; nothing if for nothing.
func (s *Sight) Seen() (seen []Seen, awaits string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Seen(nil), s.seen...), s.awaits
}

// seenLine makes one line of valid UTF-8 of a text, and cuts it where it is too long.
func seenLine(text string) string {
	more := ""
	if len(text) > mostSeenText {
		text, more = text[:mostSeenText], "..."
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " ") + more
}

// sawLines notes the first lines of what was said, each by itself.
func (s *Sight) sawLines(what, text string) {
	const most = 5
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines[:min(most, len(lines))] {
		if line = strings.TrimSpace(line); line != "" {
			s.saw(what, "%s", quotation(line))
		}
	}
	if more := len(lines) - most; more > 0 {
		s.saw(what, "and %d more lines", more)
	}
}
