package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// unread is a log that nobody reads until open is closed.
type unread struct {
	open chan struct{}
	text drivertest.Buffer
}

func (u *unread) Write(p []byte) (int, error) {
	<-u.open
	return u.text.Write(p)
}

// A log that nobody reads keeps what fits, and tells how much did not once it is read.
func TestLogQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &unread{open: make(chan struct{})}
		q := newLogQueue(out)
		registry := prometheus.NewRegistry()
		q.register(registry)
		const lines, length = 5000, 1024 // logBytes is a multiple of it
		for i := range lines {
			if n, err := fmt.Fprintf(q, "%0*d\n", length-1, i); n != length || err != nil {
				t.Fatalf("wrote %d bytes, %v", n, err)
			}
			synctest.Wait() // the first line is being written before any is dropped
		}
		close(out.open)
		synctest.Wait()
		fmt.Fprintln(q, "the last")
		q.close()
		q.close() // twice does no harm
		dropped := lines - logBytes/length
		want := fmt.Sprintf(`
# HELP keepcast_log_dropped_total Lines of the log that were dropped, since nobody read it in time.
# TYPE keepcast_log_dropped_total counter
keepcast_log_dropped_total %d
`, dropped)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		got := out.text.String()
		if n := strings.Count(got, "\n"); n != lines-dropped+2 {
			t.Errorf("%d lines are written, want %d", n, lines-dropped+2)
		}
		if told := fmt.Sprintf("level=WARN msg=\"log not read in time, lines dropped\" lines=%d\n", dropped); strings.Count(got, told) != 1 {
			t.Errorf("not told once that %d lines are missing", dropped)
		}
		if !strings.HasSuffix(got, "\nthe last\n") {
			t.Error("the last line is missing")
		}
	})
}

// slow is a log whose reader takes its time, and stops between lines while turn is full. A
// mutex would not do: who waits for one stops the clock of a test.
type slow struct {
	turn chan struct{}
	text drivertest.Buffer
}

func (s *slow) Write(p []byte) (int, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	<-time.After(time.Millisecond)
	return s.text.Write(p)
}

// Each gap in the log is told with what is missing there, and an end waits for what is not
// written yet.
func TestLogQueueGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slow{turn: make(chan struct{}, 1)}
		q := newLogQueue(out)
		var told []string
		for _, lost := range []int{10, 3} {
			before := q.dropped.Load()
			out.turn <- struct{}{}
			for q.dropped.Load() < before+uint64(lost) {
				fmt.Fprintln(q, "x")
				synctest.Wait() // the first line waits for its turn before any is dropped
			}
			<-out.turn
			<-time.After(10 * time.Second)
			fmt.Fprintln(q, "x")
			told = append(told, fmt.Sprintf("lines dropped\" lines=%d\n", lost))
		}
		fmt.Fprintln(q, "the last")
		q.close()
		has(t, out.text.String(), told...)
		if !strings.HasSuffix(out.text.String(), "the last\n") {
			t.Error("the last line is missing")
		}
	})
}

// So many short lines do not grow without a bound, either.
func TestLogQueueOfShortLines(t *testing.T) {
	out := &unread{open: make(chan struct{})}
	q := newLogQueue(out)
	for range 2 * logLines {
		fmt.Fprintln(q, "x")
	}
	if n := q.dropped.Load(); n < logLines-1 {
		t.Errorf("%d lines are dropped", n)
	}
	close(out.open)
	q.close()
}

// Orders are obeyed while nobody reads the log. The address of a dead service stayed on the
// host until somebody read the pipe, and no command was answered.
func TestObeysThoughLogHangs(t *testing.T) {
	log := &unread{open: make(chan struct{})}
	k := startLogging(t, log, gated+"on_stop: keep\nlog_level: debug\n")
	defer close(log.open)
	order := api.DrainRequest{Services: []string{"dns"}, Reason: strings.Repeat("x", 2000)}
	for range 20 {
		if _, err := k.client().Drain(t.Context(), order); err != nil {
			t.Fatal(err)
		}
	}
	drivertest.Eventually(t, "dns is withdrawn", func() bool { return k.gate() == "" })
	if _, err := k.client().Resume(t.Context(), api.ResumeRequest{Services: []string{"dns"}}); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "dns is announced again", func() bool { return k.gate() == "192.0.2.53/32\n" })
	if code := k.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The last words of a daemon are not waited for, either: SIGTERM did nothing.
func TestEndsThoughLogHangs(t *testing.T) {
	log := &unread{open: make(chan struct{})}
	defer close(log.open)
	if code := keepcast(t.Context(), []string{"run", "-c", written(t, "fish: 1\n")}, io.Discard, log); code != exitConfig {
		t.Errorf("exit code %d", code)
	}
}

// The reader of the log may go away, as journald does when it is upgraded. keepcast was
// ended by SIGPIPE, which systemd counts as a clean exit: nothing started it again, and
// everything stayed announced.
func TestSurvivesReaderOfLogGone(t *testing.T) {
	k := &instance{t: t, dir: drivertest.SocketDir(t)}
	k.write("keepcast.yaml", gated+"on_stop: withdraw\nlog_level: debug\n")
	k.write("t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
	k.write("out", "")
	c := exec.Command("keepcast", "run", "-c", k.path("keepcast.yaml")) // TestMain has put it into PATH
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it mostly has ended
	drivertest.Eventually(t, "dns is announced", func() bool { return k.gate() == "192.0.2.53/32\n" })
	log.Close()
	drivertest.Eventually(t, "it has noticed", func() bool { return !strings.Contains(k.get("/metrics"), "keepcast_log_dropped_total 0\n") })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if got := k.gate(); got != "" {
		t.Errorf("still announced: %s", got)
	}
}
