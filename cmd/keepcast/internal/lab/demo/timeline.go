package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/lab"
)

// timeline prints what happens, with the seconds since its start and since the
// beginning of the scene.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	scene time.Time
}

func newTimeline(out io.Writer) *timeline {
	now := time.Now()
	return &timeline{out: out, start: now, scene: now}
}

// begin starts a scene.
func (t *timeline) begin(title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scene = time.Now()
	fmt.Fprintf(t.out, "\n--- %s\n", title)
}

func (t *timeline) event(at time.Time, who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%8.3f s  %+7.3f  %-11s %s\n", at.Sub(t.start).Seconds(), at.Sub(t.scene).Seconds(), who, fmt.Sprintf(format, args...))
}

// since is the time since the beginning of the scene, as event shows it.
func (t *timeline) since(at time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%+.3f", at.Sub(t.scene).Seconds())
}

// width is how much of a log line is shown, in characters.
const width = 110

// decided prints a line of a keepcast's log, unless it is for debugging.
func (t *timeline) decided(host, line string) {
	if text := message(line); text != "" {
		if r := []rune(text); len(r) > width {
			text = string(r[:width-3]) + "..."
		}
		t.event(time.Now(), "keepcast "+host, "%s", text)
	}
}

// message is what a log line of slog says, without time and level: its message
// first, then its data. Debug lines say nothing.
func message(line string) string {
	before, text, ok := strings.Cut(line, "msg=")
	if !ok {
		return strings.TrimSpace(line)
	}
	if strings.Contains(before, "level=DEBUG") {
		return ""
	}
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		if msg, err := strconv.Unquote(quoted); err == nil {
			text = msg + text[len(quoted):]
		}
	}
	return text
}

func (t *timeline) moved(e lab.RouteEvent) {
	to := "nobody"
	if len(e.Hosts) > 0 {
		to = strings.Join(e.Hosts, " and ")
	}
	t.event(e.At, "router", "sends %s to %s", e.Prefix, to)
}
