package checks

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// briefly is shortly for a check that first has to get somewhere, also on a busy host.
func briefly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// script is a server of lines: the first is its greeting, and each of the others is said in
// answer to what it must begin with, the line before it in the script. An answer may have
// lines of its own, TAG in it is the first word of what was asked. "TLS" begins TLS.
// At the end it reads on.
func script(script ...string) func(net.Conn) { return saysOver(nil, script...) }

func saysOver(secure *tls.Config, script ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { c.Close() }()
		in := bufio.NewReader(c)
		fmt.Fprintf(c, "%s\r\n", strings.ReplaceAll(script[0], "\n", "\r\n"))
		for i := 1; i+1 < len(script); i += 2 {
			if script[i] == "TLS" {
				c = tls.Server(c, secure)
				in = bufio.NewReader(c)
				i--
				continue
			}
			asked, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if !strings.Contains(asked, script[i]) {
				fmt.Fprintf(c, "999 unexpected %q\r\n", asked)
				return
			}
			tag, _, _ := strings.Cut(asked, " ")
			answer := strings.NewReplacer("TAG", tag, "\n", "\r\n").Replace(script[i+1])
			fmt.Fprintf(c, "%s\r\n", answer)
		}
		io.Copy(io.Discard, in)
	}
}

// startDaemon runs a server in the foreground until the test ends, and returns its process.
func startDaemon(t *testing.T, program string, args ...string) *os.Process {
	t.Helper()
	var log drivertest.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second // its children may hold the output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		late.Stop()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return cmd.Process
}

// passwordFile writes one.
func passwordFile(t *testing.T, text string) string {
	t.Helper()
	file := t.TempDir() + "/password"
	drivertest.WriteFile(t, file, text)
	return file
}
