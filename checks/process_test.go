package checks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// sleeper returns a program of its own that does nothing for long.
func sleeper(t testing.TB) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "sleeper")
	text, err := os.ReadFile(drivertest.Program(t, "sleep"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}

// sleeps starts a program, which runs until kill, or the end of the test.
func sleeps(t testing.TB, program string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

// kill returns once the process is gone.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// killed returns the number of a process that is gone.
func killed(t *testing.T) int {
	t.Helper()
	cmd := sleeps(t, "sleep")
	kill(cmd)
	return cmd.Process.Pid
}

// thread returns the number of a thread that is not that of its process.
func thread(t *testing.T) string {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if task.Name() != strconv.Itoa(os.Getpid()) {
			return task.Name()
		}
	}
	t.Fatal("there is one thread only")
	return ""
}

// pidfile names a process.
func pidfile(t testing.TB, pid int) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "pid")
	drivertest.WriteFile(t, at, strconv.Itoa(pid)+"\n")
	return at
}

// failure compares an error with a text, in which words of that form stand for others. One
// that is certain starts with "certain: ".
func failure(t *testing.T, err error, want string, words ...string) {
	t.Helper()
	if health.IsCertain(err) {
		err = fmt.Errorf("certain: %w", err)
	}
	sameError(t, err, strings.NewReplacer(words...).Replace(want), "")
}

func TestProcessValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		check *Process
		err   string
	}{
		"pidfile":          {&Process{PIDFile: "/run/a.pid", Count: 1}, ""},
		"unit":             {&Process{Unit: "a.service", Count: 1}, ""},
		"exe":              {&Process{Exe: "/usr/sbin/a", Count: 7}, ""},
		"pidfile and exe":  {&Process{PIDFile: "/run/a.pid", Exe: "/usr/sbin/a", Count: 1}, ""},
		"unit and exe":     {&Process{Unit: "a.service", Exe: "/usr/sbin/a", Count: 1}, ""},
		"none":             {&Process{Count: 1}, "pidfile, unit or exe: one of them has to name the process"},
		"pidfile and unit": {&Process{PIDFile: "/run/a.pid", Unit: "a.service"}, "pidfile and unit: only one of them can name the process"},
		"relative pidfile": {&Process{PIDFile: "a.pid"}, `pidfile: "a.pid" is no absolute path`},
		"relative exe":     {&Process{Exe: "unbound"}, `exe: "unbound" is no absolute path`},
		"no type":          {&Process{Unit: "unbound"}, `unit: "unbound" is no service, and only a service has a main process (unbound.service?)`},
		"socket":           {&Process{Unit: "a.socket"}, `unit: "a.socket" is no service, and only a service has a main process (a.socket.service?)`},
		"count, pidfile":   {&Process{PIDFile: "/run/a.pid", Count: 2}, "count: a pidfile or a unit names one process; only exe alone finds more"},
		"count, unit":      {&Process{Unit: "a.service", Exe: "/a", Count: 2}, "count: a pidfile or a unit names one process; only exe alone finds more"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.check.Validate(), tt.err, "") })
	}
}

func TestProcessPIDFile(t *testing.T) {
	noLeaks(t)
	program := sleeper(t)
	running, zombie := sleeps(t, program), sleeps(t, program)
	_ = zombie.Process.Kill()
	drivertest.Eventually(t, "the killed process is a zombie", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.Process.Pid))
		return strings.Contains(string(stat), ") Z ")
	})
	dir := t.TempDir()
	words := []string{
		"RUNNING", strconv.Itoa(running.Process.Pid), "ZOMBIE", strconv.Itoa(zombie.Process.Pid), "GONE", strconv.Itoa(killed(t)),
		"THREAD", thread(t), "FILE", filepath.Join(dir, "pid"), "PROGRAM", program,
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ text, exe, err string }{
		"runs":             {text: "RUNNING"},
		"other lines":      {text: "  RUNNING \n/var/lib/postgresql\n" + strings.Repeat("x", 100)},
		"that program":     {text: "RUNNING\n", exe: program},
		"a link to it":     {text: "RUNNING\n", exe: link},
		"gone":             {text: "GONE\n", err: "certain: process GONE, which FILE names, is gone"},
		"gone, program":    {text: "GONE\n", exe: program, err: "certain: process GONE, which FILE names, is gone"},
		"zombie":           {text: "ZOMBIE\n", err: "certain: process ZOMBIE, which FILE names, is gone"},
		"zombie, program":  {text: "ZOMBIE\n", exe: program, err: "certain: process ZOMBIE, which FILE names, is gone"},
		"thread":           {text: "THREAD\n", err: "certain: process THREAD, which FILE names, is gone"},
		"another program":  {text: "RUNNING\n", exe: "/bin/../bin/none", err: "process RUNNING, which FILE names, runs PROGRAM, expected " + resolved("/bin") + "/none"},
		"empty":            {text: " \n", err: "pidfile: FILE is empty"},
		"no number":        {text: "none\n", err: `pidfile: FILE does not start with the number of a process: "none"`},
		"negative":         {text: "-1\n", err: `pidfile: FILE does not start with the number of a process: "-1"`},
		"zero":             {text: "0\n", err: `pidfile: FILE does not start with the number of a process: "0"`},
		"beyond a process": {text: "4294967297\n", err: `pidfile: FILE does not start with the number of a process: "4294967297"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "pid")
			drivertest.WriteFile(t, file, strings.NewReplacer(words...).Replace(tt.text))
			failure(t, (&Process{PIDFile: file, Exe: tt.exe}).Check(within(t)), tt.err, words...)
		})
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	failure(t, (&Process{PIDFile: pipe}).Check(within(t)), "pidfile: "+pipe+" is no regular file")
	failure(t, (&Process{PIDFile: dir + "/none"}).Check(within(t)), "pidfile: open "+dir+"/none: no such file or directory")
}

func TestProcessExe(t *testing.T) {
	if !alone(t) {
		return
	}
	noLeaks(t)
	program := sleeper(t)
	words := []string{"PROGRAM", program}
	one, two := &Process{Exe: program, Count: 1}, &Process{Exe: program, Count: 2}
	failure(t, one.Check(within(t)), "certain: no process runs PROGRAM", words...)
	first := sleeps(t, program)
	failure(t, one.Check(within(t)), "")
	failure(t, two.Check(within(t)), "only 1 of 2 processes run PROGRAM", words...)
	second := sleeps(t, program)
	failure(t, two.Check(within(t)), "")

	// An upgrade replaces the program, and then removes it; both run on.
	if err := os.Rename(sleeper(t), program); err != nil {
		t.Fatal(err)
	}
	failure(t, two.Check(within(t)), "")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	failure(t, two.Check(within(t)), "")
	failure(t, (&Process{PIDFile: pidfile(t, first.Process.Pid), Exe: program}).Check(within(t)), "")
	kill(first)
	failure(t, two.Check(within(t)), "only 1 of 2 processes run PROGRAM", words...)
	kill(second)
	failure(t, two.Check(within(t)), "certain: no process runs PROGRAM", words...)
}

// A process that no fit run has seen may be about to start; once one was seen and is gone,
// there is no doubt. While it runs, there is.
func TestProcessSeen(t *testing.T) {
	noLeaks(t)
	cmd := sleeps(t, "sleep")
	file := pidfile(t, cmd.Process.Pid)
	p := &Process{PIDFile: file}
	failure(t, p.Check(within(t)), "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	missing := "pidfile: open " + file + ": no such file or directory"
	failure(t, p.Check(within(t)), missing)
	kill(cmd)
	failure(t, p.Check(within(t)), fmt.Sprintf("certain: process %d is gone: %s", cmd.Process.Pid, missing))
	failure(t, (&Process{PIDFile: file}).Check(within(t)), missing)
	if err := os.Mkdir(file, 0o755); err != nil { // that says nothing of any process
		t.Fatal(err)
	}
	failure(t, p.Check(within(t)), "pidfile: "+file+" is no regular file")
}

// Between two looks of the check a process may end after another one has taken over.
func TestProcessNamedAnew(t *testing.T) {
	noLeaks(t)
	fresh, old, older := sleeps(t, "sleep").Process.Pid, killed(t), killed(t)
	for name, tt := range map[string]struct {
		names []int
		err   string
	}{
		"taken over":       {[]int{old, fresh}, ""},
		"taken over twice": {[]int{older, old, fresh}, ""},
		"gone":             {[]int{old, old, fresh}, fmt.Sprintf("certain: process %d, ROLE, is gone", old)},
	} {
		t.Run(name, func(t *testing.T) {
			next := 0
			pids, err := new(Process).named(within(t), "ROLE", func(context.Context) (int, error) {
				next++
				return tt.names[next-1], nil
			})
			failure(t, err, tt.err)
			if err == nil && (len(pids) != 1 || pids[0] != fresh) {
				t.Errorf("found %v, want %d", pids, fresh)
			}
		})
	}
	t.Run("for ever", func(t *testing.T) {
		ctx, cancel := context.WithCancel(within(t))
		next := 0
		_, err := new(Process).named(ctx, "ROLE", func(context.Context) (int, error) {
			if next++; next == 9 {
				cancel()
			}
			return []int{old, older}[next%2], nil
		})
		failure(t, err, "the process, ROLE, is another one at each look: context canceled")
	})
}

// What is seen is for keepcast probe.
func TestProcessSight(t *testing.T) {
	program := sleeper(t)
	before := time.Now().Add(-2 * time.Second) // ticks and seconds are cut off
	cmd := sleeps(t, program)
	var s Sight
	if err := (&Process{Exe: program}).Check(WithSight(within(t), &s)); err != nil {
		t.Fatal(err)
	}
	seen, awaits := s.Seen()
	if len(seen) != 1 || seen[0].What != "process" || awaits != "" {
		t.Fatalf("saw %v, waits for %q", seen, awaits)
	}
	start := fmt.Sprintf("%d, %s, since ", cmd.Process.Pid, program)
	since, err := time.Parse(time.RFC3339, strings.TrimPrefix(seen[0].Text, start))
	if err != nil || since.Before(before) || since.After(time.Now().Add(time.Second)) {
		t.Errorf("saw %q, want %q and now", seen[0].Text, start)
	}
}

func TestProcessHost(t *testing.T) {
	for name, tt := range map[string]struct {
		check *Process
		err   string
	}{
		"there":           {&Process{PIDFile: pidfile(t, 1), Exe: sleeper(t)}, ""},
		"stopped":         {&Process{PIDFile: "/nonexistent"}, ""},
		"no such program": {&Process{Exe: "/nonexistent"}, "exe: stat /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			programs, err := tt.check.Host()()
			sameError(t, err, tt.err, "")
			if programs != nil {
				t.Errorf("it runs %v", programs)
			}
		})
	}
	if (&Process{Unit: "a.service"}).Host() != nil {
		t.Error("a unit needs a file")
	}
}

func FuzzPIDFile(f *testing.F) {
	for _, text := range []string{"123\n", "", "-1", "0", "00012", "4294967297", "1 2 3", "\xff\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pid, err := parsePID(text)
		if (err == nil) != (pid > 0) {
			t.Errorf("got %d, %v", pid, err)
		}
	})
}
