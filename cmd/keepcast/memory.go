package main

import (
	"errors"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryRatio is the part of its memory that keepcast lets its garbage grow into. The rest
// is for what the garbage collector does not count, and for the commands of checks.
const memoryRatio = 0.9

// garbageShare is how much garbage may gather, in percent of what is in use: a quarter of what
// Go has by itself. The host has better use for the memory, and it costs little time.
const garbageShare = 25

// collectGarbage has little garbage gather. GOGC in the environment goes before it.
func collectGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
}

// limitMemory has the garbage collector keep within what the unit or the container, or one
// around it, may have: else garbage alone may grow beyond that, and the kernel kills keepcast.
// GOMEMLIMIT in the environment goes before it.
func limitMemory(allowed memlimit.Provider, log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithProvider(allowed), memlimit.WithRatio(memoryRatio))
	switch {
	case errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		log.Debug("memory is not limited", "err", err)
	case err != nil:
		log.Warn("it is not known how much memory keepcast may have", "err", err)
	default:
		log.Debug("memory limit of the garbage collector", "bytes", limit)
	}
}
