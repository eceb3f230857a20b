package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A state_directory that anybody may write, as Kubernetes makes an emptyDir, made the last
// good configuration useless without a word: the operator learned of it from a start that
// ended, and withdrew the host.
func TestUntrustedDirectories(t *testing.T) {
	k := start(t, "on_stop: keep\n")
	k.stop()
	if err := errors.Join(os.Chmod(k.path("state"), 0o777), os.Chmod(k.path("runtime/config.yaml"), 0o666)); err != nil {
		t.Fatal(err)
	}
	k.again()
	const state = "others may write there, so that a start with files that are not valid can't go on with what was in force last, and ends: " +
		"DIR/state: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR/state"
	const runtime = "others may write there, so that withdraw-all does not go by what was in force and announced last: " +
		"DIR/runtime/config.yaml: anybody may write it (mode 0666), and keepcast would do what they say: chmod go-w DIR/runtime/config.yaml"
	var found []string
	drivertest.Eventually(t, "status tells of both", func() bool {
		s, err := k.client().Status(t.Context())
		found = nil
		for _, f := range s.Findings {
			found = append(found, string(f.Level)+" "+f.Name+" "+strings.ReplaceAll(f.Subject+": "+f.Text, k.dir, "DIR"))
		}
		return err == nil && len(found) == 2
	})
	drivertest.Same(t, "findings", []string{"warning directory-untrusted DIR/state: " + state, "warning directory-untrusted DIR/runtime: " + runtime}, found)
	metrics := k.get("/metrics")
	_, help, _ := strings.Cut(metrics, "\n# HELP keepcast_driver_finding ")
	help, _, _ = strings.Cut(help, "\n")
	has(t, engine.MetricsReference(), "`subject` | "+help+" |\n") // else no metric could be had beside a finding of the engine's
	has(t, metrics, `keepcast_driver_finding{driver="keepcast",finding="directory-untrusted",level="warning",subject="`+k.path("state")+`"} 1`,
		`keepcast_driver_finding{driver="keepcast",finding="directory-untrusted",level="warning",subject="`+k.path("runtime")+`"} 1`)
	k.logged(`level=WARN msg="the configuration that is saved is not believed" directory=` + k.path("state") + ` err="others may write there`)
	_, out, _ := keepcastSays(t, "doctor", "-c", k.path("keepcast.yaml"))
	has(t, out, "warning: "+k.path("state")+": "+strings.ReplaceAll(state, "DIR", k.dir)+" [directory-untrusted]\n    fix: what it says; ",
		"warning: "+k.path("runtime")+": "+strings.ReplaceAll(runtime, "DIR", k.dir)+" [directory-untrusted]\n")
}

// Whoever had a full disk, or a typo in state_directory, was told to run keepcast as root,
// which helps only who lacks the rights.
func TestDirectoryFix(t *testing.T) {
	const see = "see runtime_directory and state_directory"
	for errno, want := range map[syscall.Errno]string{
		syscall.EACCES: "run as root, or " + see,
		syscall.EPERM:  "run as root, or " + see,
		syscall.ENOSPC: see, syscall.EROFS: see, syscall.ENOENT: see, syscall.ENOTDIR: see, syscall.EMFILE: see,
	} {
		if got := directoryFix(&os.PathError{Op: "mkdir", Path: "/d", Err: errno}); got != want {
			t.Errorf("%v: got %s, want %s", errno, got, want)
		}
	}
}

// What is mended is seen without a restart, and each change is logged once.
func TestSavedDirIsLookedAtAgain(t *testing.T) {
	var log drivertest.Buffer
	var is atomic.Pointer[driver.Finding]
	s := savedDir{look: is.Load, log: newLogger(&log, levelVar("info"))}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go s.keep(ctx)
		for _, now := range []*driver.Finding{nil, {Subject: "/d", Text: "a"}, {Subject: "/d", Text: "a"}, {Subject: "/d", Text: "b"}, nil, nil} {
			synctest.Wait()
			is.Store(now)
			<-time.After(savedLook)
			synctest.Wait()
			if s.finding.Load() != now {
				t.Errorf("found %v, want %v", s.finding.Load(), now)
			}
		}
		cancel()
	})
	lines := log.String()
	if strings.Count(lines, "\n") != 3 || strings.Count(lines, "is not believed") != 2 || strings.Count(lines, " err=b ") != 1 || !strings.HasSuffix(lines, "level=INFO msg=\"the configuration that is saved is believed again\" directory=/d\n") {
		t.Errorf("logged\n%s", lines)
	}
}
