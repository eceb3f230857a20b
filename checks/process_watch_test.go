package checks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// watchingProcess runs the watch of a check until the test ends, or the function that it returns
// is called.
func watchingProcess(t testing.TB, p *Process) (changes <-chan struct{}, end func()) {
	t.Helper()
	told := make(chan struct{}, 1000)
	p.news = pace.NewBell()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func() { told <- struct{}{} }) }()
	end = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(end)
	<-told
	return told, end
}

// fits runs a check that is fit, and returns once the watch has heard of it.
func fits(t testing.TB, p *Process) {
	t.Helper()
	if err := p.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard(t, p)
}

// heard returns once the watch is done with what it was told. It takes the second bell
// after that.
func heard(t testing.TB, p *Process) {
	t.Helper()
	for range 2 {
		p.news.Ring()
		drivertest.Eventually(t, "the watch hears the bell", func() bool { return len(p.news) == 0 })
	}
}

// awaited returns once the watch has told of a change.
func awaited(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-within(t).Done():
		t.Fatal("told of no change")
	}
}

// SIGKILL wakes the check, whose failure is certain.
func TestProcessKilled(t *testing.T) {
	if !alone(t) {
		return
	}
	noLeaks(t)
	address, _ := drivertest.Bus(t)
	f := startSystemd(t, address)
	before := files(t)
	for name, prepare := range map[string]func(t *testing.T, program string, pid int) (*Process, string){
		"exe": func(_ *testing.T, program string, _ int) (*Process, string) {
			return &Process{Exe: program}, "certain: no process runs PROGRAM"
		},
		"pidfile": func(t *testing.T, _ string, pid int) (*Process, string) {
			file := pidfile(t, pid)
			return &Process{PIDFile: file}, "certain: process PID, which " + file + " names, is gone"
		},
		"unit": func(t *testing.T, _ string, pid int) (*Process, string) {
			f.service(t, "a.service", fmt.Sprint(pid, " loaded active running"), "0 loaded activating auto-restart")
			return &Process{Unit: "a.service"}, "certain: process PID is gone: a.service is activating (auto-restart), expected active"
		},
	} {
		t.Run(name, func(t *testing.T) {
			program := sleeper(t)
			cmd := sleeps(t, program)
			p, want := prepare(t, program, cmd.Process.Pid)
			changes, end := watchingProcess(t, p)
			fits(t, p)
			if n := len(changes); n != 0 {
				t.Errorf("%d changes though nothing changed", n)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			awaited(t, changes) // nobody has waited for the process: it is a zombie
			failure(t, p.Check(within(t)), want, "PROGRAM", program, "PID", fmt.Sprint(cmd.Process.Pid))
			kill(cmd)
			end()
			drivertest.Eventually(t, "the descriptors are closed again", func() bool { return files(t) == before })
		})
	}
}

// In a restart that keeps serving the new process is named before the old one exits. The
// check stays fit, and the watch goes over to the new one.
func TestProcessTakenOver(t *testing.T) {
	noLeaks(t)
	for _, name := range []string{"pidfile", "exe"} {
		t.Run(name, func(t *testing.T) {
			program := sleeper(t)
			old := sleeps(t, program)
			p := &Process{PIDFile: pidfile(t, old.Process.Pid)}
			file := p.PIDFile
			if name == "exe" {
				p = &Process{Exe: program, Count: 1}
			}
			changes, _ := watchingProcess(t, p)
			fits(t, p)
			for range 3 {
				fresh := sleeps(t, program)
				drivertest.WriteFile(t, file, fmt.Sprint(fresh.Process.Pid))
				kill(old)
				awaited(t, changes)
				fits(t, p)
				old = fresh
			}
		})
	}
}

// The number of a process that is gone may be given to the one that comes after it.
func TestProcessSameNumber(t *testing.T) {
	if !alone(t) {
		return
	}
	noLeaks(t)
	program := sleeper(t)
	cmd := sleeps(t, program)
	pid := cmd.Process.Pid
	p := &Process{PIDFile: pidfile(t, pid), Exe: program}
	changes, _ := watchingProcess(t, p)
	for range 3 {
		fits(t, p)
		kill(cmd)
		awaited(t, changes)
		cmd = sleepsAs(t, program, pid)
	}
	fits(t, p)
	kill(cmd)
	awaited(t, changes)
	sleepsAs(t, "sleep", pid)
	failure(t, p.Check(within(t)), fmt.Sprintf("process %d, which %s names, runs %s, expected %s", pid, p.PIDFile, resolved(drivertest.Program(t, "sleep")), program))
}

// sleepsAs starts a program as the process of a number. Others may come in between.
func sleepsAs(t *testing.T, program string, pid int) *exec.Cmd {
	t.Helper()
	for ctx := within(t); ctx.Err() == nil; {
		drivertest.WriteFile(t, "/proc/sys/kernel/ns_last_pid", fmt.Sprint(pid-1))
		cmd := sleeps(t, program)
		if cmd.Process.Pid == pid {
			return cmd
		}
		kill(cmd)
	}
	t.Fatalf("no process gets the number %d", pid)
	return nil
}

// A process that is no longer meant is not watched, and neither is one that ended before
// the watch came to hold it.
func TestProcessWatchesOthers(t *testing.T) {
	noLeaks(t)
	first, second := sleeps(t, "sleep"), sleeps(t, "sleep")
	file := pidfile(t, first.Process.Pid)
	p := &Process{PIDFile: file}
	changes, _ := watchingProcess(t, p)
	fits(t, p)
	drivertest.WriteFile(t, file, fmt.Sprint(second.Process.Pid))
	before := files(t)
	fits(t, p)
	drivertest.Eventually(t, "the descriptor of the first is closed", func() bool { return files(t) == before })
	kill(first)
	heard(t, p)
	if n := len(changes); n != 0 {
		t.Errorf("%d changes by a process that is not meant", n)
	}
	kill(second)
	awaited(t, changes)
	p.seen.Store(&[]int{first.Process.Pid})
	p.news.Ring()
	awaited(t, changes)
}

// A watch that can hold no process ends with the reason, and is begun again by its owner.
func TestProcessWatchBreaks(t *testing.T) {
	noLeaks(t)
	p := &Process{news: pace.NewBell()}
	p.seen.Store(&[]int{os.Getpid()})
	p.news.Ring()
	withoutFiles(t, func() {
		failure(t, p.Watch(within(t), func() {}), fmt.Sprintf("watching process %d: too many open files", os.Getpid()))
	})
}

// The whole: the check is down by one failure, long before its next run.
func TestProcessDown(t *testing.T) {
	noLeaks(t)
	cmd := sleeps(t, "sleep")
	kind, err := KindByName("process")
	if err != nil {
		t.Fatal(err)
	}
	p := kind.New().(*Process)
	p.PIDFile = pidfile(t, cmd.Process.Pid)
	ctx, cancel := context.WithCancel(within(t))
	verdicts, ended := make(chan health.Verdict, 9), make(chan struct{})
	schedule := health.Schedule{Interval: time.Hour, FastInterval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1000}
	health.NewProbe(p, schedule).Start(ctx, 0, func(r health.Result) { verdicts <- r.Verdict }, func() { close(ended) })
	defer func() { cancel(); <-ended }()
	verdict := <-verdicts
	heard(t, p)
	_ = cmd.Process.Kill()
	for verdict != health.Down { // a run that the watch asked for at its start may come before
		select {
		case verdict = <-verdicts:
		case <-ctx.Done():
			t.Fatalf("it is %s", verdict)
		}
	}
}

// BenchmarkProcessExit measures the time from a kill to the wake of the check.
func BenchmarkProcessExit(b *testing.B) {
	p := new(Process)
	changes, _ := watchingProcess(b, p)
	for b.Loop() {
		b.StopTimer()
		cmd := exec.Command("sleep", "300")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		p.seen.Store(&[]int{cmd.Process.Pid})
		heard(b, p)
		b.StartTimer()
		_ = cmd.Process.Kill()
		<-changes
		b.StopTimer()
		_ = cmd.Wait()
		b.StartTimer()
	}
}
