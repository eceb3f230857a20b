package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestApart has the tests run where there is a loopback and no other interface, with
// temporary files in memory. What they start in a group of its own ends with them: a
// keepcast that took itself for PID 1 went on starting itself for ever.
func TestApart(t *testing.T) {
	drivertest.NeedsRoot(t, "for namespaces")
	module(t, map[string]string{
		"m.go": "package m\n\nfunc f(b *bool) { *b = true }\n",
		"m_test.go": `package m

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const inMemory = 0x01021994 // TMPFS_MAGIC

func TestF(t *testing.T) {
	var b bool
	if f(&b); !b {
		t.Error("no")
	}
	all, err := net.Interfaces()
	if err != nil || len(all) != 1 || all[0].Flags&net.FlagLoopback == 0 || all[0].Flags&net.FlagUp == 0 {
		t.Fatal(all, err)
	}
	var temp syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &temp); err != nil || temp.Type != inMemory {
		t.Fatalf("%s: %#x (%v)", os.TempDir(), temp.Type, err)
	}
	left := exec.Command("sleep", "4711.4711")
	left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
}
`,
	})
	if code, out := mutate(t, "."); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	drivertest.Eventually(t, "what the tests left running has ended", func() bool {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		return err == nil && !slices.ContainsFunc(lines, func(file string) bool {
			line, _ := os.ReadFile(file) // it may have ended
			return bytes.Contains(line, []byte("4711.4711"))
		})
	})
}
