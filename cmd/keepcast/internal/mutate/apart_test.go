package main

import (
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestApart has the tests run where there is a loopback and no other interface, with
// temporary files in memory.
func TestApart(t *testing.T) {
	drivertest.NeedsRoot(t, "for namespaces")
	module(t, map[string]string{
		"m.go": "package m\n\nfunc f(b *bool) { *b = true }\n",
		"m_test.go": `package m

import (
	"net"
	"os"
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
}
`,
	})
	if code, out := mutate(t, "."); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
