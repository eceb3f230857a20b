package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/pace"
)

// newLogger logs as text, one event a line.
func newLogger(out io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
}

// levelVar returns a level that a reload can change.
func levelVar(name string) *slog.LevelVar {
	level := new(slog.LevelVar)
	level.Set(levelOf(name))
	return level
}

// levelOf returns the level that log_level names.
func levelOf(name string) slog.Level {
	l := slog.LevelInfo
	_ = l.UnmarshalText([]byte(name)) // what is no level leaves it as it is
	return l
}

const (
	// logLines and logBytes bound what waits for a reader of the log.
	logLines = 4096
	logBytes = 1 << 20
	// logFlush is how long an end waits for what is not written yet.
	logFlush = time.Second
)

// logQueue is a writer that never blocks: whoever reads the log may hang, such as a full
// disk behind a journal. What does not fit is dropped and counted. Once there is room
// again, a line tells how much is missing.
type logQueue struct {
	out     io.Writer
	lines   chan []byte
	bytes   atomic.Int64  // of the lines that wait
	dropped atomic.Uint64 // lines, since the start
	written chan struct{} // closed when everything is written after close
	closing sync.Once
}

// newLogQueue returns a queue before out. One goroutine writes, until close.
func newLogQueue(out io.Writer) *logQueue {
	q := &logQueue{out: out, lines: make(chan []byte, logLines), written: make(chan struct{})}
	go q.write()
	return q
}

// Write takes one line. It always succeeds: the one who logs has nothing to do about it.
func (q *logQueue) Write(line []byte) (int, error) {
	if q.bytes.Add(int64(len(line))) <= logBytes {
		select {
		case q.lines <- append([]byte(nil), line...):
			return len(line), nil
		default:
		}
	}
	q.bytes.Add(-int64(len(line)))
	q.dropped.Add(1)
	return len(line), nil
}

func (q *logQueue) write() {
	defer close(q.written)
	told := uint64(0) // of dropped
	for line := range q.lines {
		if line == nil {
			return
		}
		if now := q.dropped.Load(); now != told {
			q.put(fmt.Appendf(nil, "time=%s level=WARN msg=\"log not read in time, lines dropped\" lines=%d\n",
				time.Now().Format("2006-01-02T15:04:05.000Z07:00"), now-told))
			told = now
		}
		q.put(line)
		q.bytes.Add(-int64(len(line)))
	}
}

// put writes one line. One that can't be written, because its reader has gone, is dropped.
func (q *logQueue) put(line []byte) {
	if _, err := q.out.Write(line); err != nil {
		q.dropped.Add(1)
	}
}

// close waits until all is written, for logFlush at most. Nothing may be logged after it.
func (q *logQueue) close() {
	q.closing.Do(func() {
		pace.Within(logFlush, func() {
			q.lines <- nil
			<-q.written
		})
	})
}

// register exports how much was dropped.
func (q *logQueue) register(registry prometheus.Registerer) {
	registry.MustRegister(engine.LogDropped(func() float64 { return float64(q.dropped.Load()) }))
}

// survivePipes has a write to a pipe without a reader fail, as any other write does. By
// default the runtime ends the program by SIGPIPE, if the pipe is stdout or stderr. The
// signal is not ignored, for the commands of checks would inherit that.
func survivePipes() (end func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE)
	return func() { signal.Stop(signals) }
}
