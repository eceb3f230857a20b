package main

import (
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestApart has the tests run where there is a loopback, and no other interface.
func TestApart(t *testing.T) {
	drivertest.NeedsRoot(t, "for a network namespace")
	module(t, map[string]string{
		"m.go": "package m\n\nfunc f(b *bool) { *b = true }\n",
		"m_test.go": `package m

import (
	"net"
	"testing"
)

func TestF(t *testing.T) {
	var b bool
	if f(&b); !b {
		t.Error("no")
	}
	all, err := net.Interfaces()
	if err != nil || len(all) != 1 || all[0].Flags&net.FlagLoopback == 0 || all[0].Flags&net.FlagUp == 0 {
		t.Fatal(all, err)
	}
}
`,
	})
	if code, out := mutate(t, "."); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
