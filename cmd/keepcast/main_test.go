package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain lets the scripts run this test binary as keepcast.
func TestMain(m *testing.M) {
	moveBenchmarks()
	testscript.Main(leakless{m}, map[string]func(){"keepcast": main})
}

// leakless runs all tests, and fails if they leave a goroutine behind.
type leakless struct{ *testing.M }

func (m leakless) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs every command as an operator would: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"until": until,
			"code":  code,
		},
	})
}

// until runs a command again and again until it prints what is asked for:
// until TEXT COMMAND...
func until(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; <-tick.C {
		err := ts.Exec(args[1], args[2:]...)
		last = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if err == nil && strings.Contains(last, args[0]) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come: %v\n%s", args[0], err, last)
		}
	}
}

// code runs a command and compares its exit code: code N COMMAND...
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s: %s", got, args[0], ts.ReadFile("stderr"))
	}
}
