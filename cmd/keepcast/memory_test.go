package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
)

// In a unit or a container with a limit, garbage alone could grow beyond it: the kernel
// killed keepcast, and with the container everything that it announced.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	fails := func(err error) memlimit.Provider { return func() (uint64, error) { return 0, err } }
	for name, tt := range map[string]struct {
		operator string // GOMEMLIMIT
		allowed  memlimit.Provider
		want     int64
		log      string
	}{
		"a limit":              {"", memlimit.Limit(1 << 30), (1 << 30) * 9 / 10, `level=DEBUG msg="memory limit of the garbage collector" bytes=966367641`},
		"the operator decides": {"1GiB", memlimit.Limit(1 << 20), math.MaxInt64, ""},
		"none":                 {"", fails(memlimit.ErrNoLimit), math.MaxInt64, "bytes=9223372036854775807"},
		"no cgroup":            {"", fails(memlimit.ErrNoCgroup), math.MaxInt64, `level=DEBUG msg="memory is not limited"`},
		"no cgroups":           {"", fails(memlimit.ErrCgroupsNotSupported), math.MaxInt64, `level=DEBUG msg="memory is not limited"`},
		"odd":                  {"", fails(errors.New("odd")), math.MaxInt64, `level=WARN msg="it is not known how much memory keepcast may have" err="failed to set GOMEMLIMIT: odd"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.operator)
			if tt.operator == "" {
				os.Unsetenv("GOMEMLIMIT")
			}
			debug.SetMemoryLimit(math.MaxInt64)
			var b strings.Builder
			limitMemory(tt.allowed, newLogger(&b, levelOf("debug")))
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("the limit is %d, want %d", got, tt.want)
			}
			has(t, b.String(), tt.log)
		})
	}
}

func TestGarbageShare(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	t.Setenv("GOGC", "70")
	collectGarbage()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is not heeded: %d", got)
	}
	t.Setenv("GOGC", "")
	collectGarbage()
	if got := debug.SetGCPercent(100); got != garbageShare {
		t.Errorf("got %d", got)
	}
}

// A run looks for its limit, and has little garbage gather, of which metrics tell.
func TestRunLimitsMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	k := start(t, "log_level: debug\n")
	k.logged("memory")
	has(t, k.get("/metrics"), "\ngo_gc_gomemlimit_bytes ", fmt.Sprintf("\ngo_gc_gogc_percent %d\n", garbageShare))
}

// A run gives up its lock when it ends, and not when memory happens to be collected.
func TestRunReleasesLock(t *testing.T) {
	t.Setenv("GOGC", "off")
	before := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	k := start(t, "")
	dir := loadedAt(t, k.path("keepcast.yaml")).RuntimeDir
	if code := k.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	lock, err := control.TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
}
