package main

import (
	"net"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A daemon is told by the kernel when a service stops listening, and believes the one failure
// that follows.
func TestDaemonIsToldOfCrash(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	k := startWith(t, strings.Replace(gated, `kind: exec, command: ["true"], interval: 50ms, timeout: 5s`,
		`kind: tcp, address: "`+server.Addr().String()+`", interval: 1h, timeout: 1m, rise: 1, fall: 1000`, 1))
	// After a second run it is known who has answered the first.
	if code, out, errs := keepcastSays(t, "check-now", "dns", "-c", k.path("keepcast.yaml")); code != exitOK {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	server.Close()
	drivertest.Eventually(t, "dns is withdrawn", func() bool { return k.gate() == "" })
}
