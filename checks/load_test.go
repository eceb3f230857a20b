package checks

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// loadAmount reads an amount.
func loadAmount(t *testing.T, text string) (a LoadAmount) {
	t.Helper()
	if err := a.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return a
}

// loadProc returns a directory that looks like /proc, of a host with two processors. Files may
// be others; one that is "" is not there.
func loadProc(t *testing.T, other map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"loadavg":         "3.00 2.00 1.00 1/100 4321\n",
		"meminfo":         "MemTotal:        1048576 kB\nMemFree:          10000 kB\nMemAvailable:     104858 kB\nHugePages_Total:       0\n",
		"stat":            loadStat(100, 900),
		"pressure/cpu":    "some avg10=12.50 avg60=1.00 avg300=2.00 total=3\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/memory": "some avg10=0.00 avg60=9.00 avg300=9.00 total=3\n",
		"pressure/io":     "full avg10=7.00 avg60=9.00 avg300=9.00 total=3\nsome avg10=8.00 avg60=9.00 avg300=9.00 total=3\n",
	}
	maps.Copy(files, other)
	if err := os.Mkdir(filepath.Join(dir, "pressure"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if text != "" {
			drivertest.WriteFile(t, filepath.Join(dir, name), text)
		}
	}
	return dir
}

// loadStat is what /proc/stat says after so many busy and idle ticks: one of user and system
// time and so on each, the rest is stolen; a guest's time is part of the user's.
func loadStat(busy, idle int) string {
	line := strings.NewReplacer("STOLEN", strconv.Itoa(busy-5), "IDLE", strconv.Itoa(idle-10)).Replace("cpu  1 1 1 IDLE 10 1 1 STOLEN 1 1\n")
	return line + strings.Replace(line, "cpu ", "cpu0", 1) + strings.Replace(line, "cpu ", "cpu1", 1) + "intr 5 0 0 0 0\nctxt 6\n"
}

func TestLoad(t *testing.T) {
	const noPressure = ": no such file or directory: this kernel does not measure pressure, it needs CONFIG_PSI and, by default on some systems, psi=1 on its command line"
	for name, tt := range map[string]struct {
		load  func(*Load)
		files map[string]string
		err   string
		void  bool
	}{
		"load":              {load: func(l *Load) { l.MaxLoad = 1.5 }},
		"loaded":            {load: func(l *Load) { l.MaxLoad = 1.4 }, err: "the load is 3.00, for each of the 2 processors 1.50, more than 1.4"},
		"memory":            {load: func(l *Load) { l.MinMemory = loadAmount(t, "10%") }},
		"memory size":       {load: func(l *Load) { l.MinMemory = loadAmount(t, "0.1 GiB") }},
		"no memory":         {load: func(l *Load) { l.MinMemory = loadAmount(t, "10.1%") }, err: "102.4 MiB of 1.0 GiB (10.0%) of memory available, less than 10.1%"},
		"no memory, size":   {load: func(l *Load) { l.MinMemory = loadAmount(t, "103MiB") }, err: "102.4 MiB of 1.0 GiB (10.0%) of memory available, less than 103MiB"},
		"pressure":          {load: func(l *Load) { l.MaxPressureCPU, l.MaxPressureMemory, l.MaxPressureIO = 12.5, 1, 8 }},
		"pressed":           {load: func(l *Load) { l.MaxPressureCPU = 12 }, err: "the pressure on cpu is 12.5%, more than 12%"},
		"pressed IO":        {load: func(l *Load) { l.MaxPressureIO = 7 }, err: "the pressure on io is 8%, more than 7%"},
		"pressed memory":    {load: func(l *Load) { l.MaxPressureMemory = 1 }, files: map[string]string{"pressure/memory": "some avg10=1.01\n"}, err: "the pressure on memory is 1.01%, more than 1%"},
		"all of it":         {load: func(l *Load) { l.MaxLoad, l.MaxPressureCPU, l.MaxPressureIO = 1, 1, 9 }, err: "the load is 3.00, for each of the 2 processors 1.50, more than 1; the pressure on cpu is 12.5%, more than 1%"},
		"no pressure":       {load: func(l *Load) { l.MaxPressureCPU = 1 }, files: map[string]string{"pressure/cpu": ""}, err: "open DIR/pressure/cpu" + noPressure, void: true},
		"wrong anyway":      {load: func(l *Load) { l.MaxPressureCPU, l.MaxLoad = 1, 1 }, files: map[string]string{"pressure/cpu": ""}, err: "the load is 3.00, for each of the 2 processors 1.50, more than 1"},
		"no proc":           {load: func(l *Load) { l.MaxLoad = 1 }, files: map[string]string{"loadavg": ""}, err: "open DIR/loadavg: no such file or directory", void: true},
		"no stat":           {load: func(l *Load) { l.MaxLoad = 1 }, files: map[string]string{"stat": ""}, err: "open DIR/stat: no such file or directory", void: true},
		"no CPU":            {load: func(l *Load) { l.MaxCPU = 1 }, files: map[string]string{"stat": ""}, err: "open DIR/stat: no such file or directory", void: true},
		"odd load":          {load: func(l *Load) { l.MaxLoad = 1 }, files: map[string]string{"loadavg": "x 1\n"}, err: `DIR/loadavg: "x" is no number: "x 1"`, void: true},
		"odd stat":          {load: func(l *Load) { l.MaxCPU = 1 }, files: map[string]string{"stat": "cpu 1 1 -1 1\ncpu0 1 1 1 1\n"}, err: `DIR/stat: "-1" is no number of ticks: "cpu 1 1 -1 1\ncpu0 1 1 1 1"`, void: true},
		"no processors":     {load: func(l *Load) { l.MaxCPU = 1 }, files: map[string]string{"stat": "cpu 1 1 1 1\n"}, err: `DIR/stat: no times of processors: "cpu 1 1 1 1"`, void: true},
		"no MemAvailable":   {load: func(l *Load) { l.MinMemory = loadAmount(t, "1%") }, files: map[string]string{"meminfo": "MemTotal: 5 kB\n"}, err: `DIR/meminfo: no MemAvailable or no MemTotal: "MemTotal: 5 kB"`, void: true},
		"odd pressure":      {load: func(l *Load) { l.MaxPressureIO = 1 }, files: map[string]string{"pressure/io": "full avg10=1\n"}, err: `DIR/pressure/io: no avg10 of some: "full avg10=1"`, void: true},
		"no number":         {load: func(l *Load) { l.MaxPressureIO = 1 }, files: map[string]string{"pressure/io": "some avg10=NaN\n"}, err: `DIR/pressure/io: "NaN" is no number: "some avg10=NaN"`, void: true},
		"no such directory": {load: func(l *Load) { l.Disk, l.MinDisk = "/nonexistent", loadAmount(t, "1%") }, err: "statfs /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			l := &Load{proc: loadProc(t, tt.files)}
			tt.load(l)
			if err := l.Validate(); err != nil {
				t.Fatal(err)
			}
			err := l.Check(within(t))
			if tt.err != "" && err != nil {
				tt.err = strings.ReplaceAll(tt.err, "DIR", l.proc)
			}
			sameError(t, err, tt.err, "")
			if health.IsVoid(err) != tt.void {
				t.Errorf("void: %t", !tt.void)
			}
		})
	}
}

// How busy the processors were is known from the second run on.
func TestLoadCPU(t *testing.T) {
	l := &Load{MaxCPU: 50, proc: loadProc(t, nil)}
	for _, step := range []struct {
		stat string
		err  string
		void bool
	}{
		{loadStat(100, 900), "max_cpu: the first run has none before it to compare with, the next one will", true},
		{loadStat(100, 900), "max_cpu: no time has passed since the run before", true},
		{loadStat(150, 950), "", false},
		{loadStat(210, 990), "the processors were busy for 60.0% of the time, more than 50%", false},
		{loadStat(210, 1090), "", false},
		{loadStat(310, 1080), "the processors were busy for 100.0% of the time, more than 50%", false}, // iowait went back
	} {
		drivertest.WriteFile(t, filepath.Join(l.proc, "stat"), step.stat)
		err := l.Check(within(t))
		sameError(t, err, step.err, "")
		if health.IsVoid(err) != step.void {
			t.Errorf("%v: void: %t", err, !step.void)
		}
	}
}

func TestLoadDisk(t *testing.T) {
	// 1000 blocks of 1 MiB, of which 200 are free, and 100 for others than root.
	stat := unix.Statfs_t{Bsize: 4 << 20, Frsize: 1 << 20, Blocks: 1000, Bfree: 200, Bavail: 100, Files: 1000, Ffree: 50}
	for name, tt := range map[string]struct {
		space, inodes string
		change        func(*unix.Statfs_t)
		err           string
	}{
		"enough":           {space: "100MiB", inodes: "5%"},
		"too little":       {space: "101MiB", err: "/d: 100.0 MiB of 900.0 MiB (11.1%) left, less than 101MiB"},
		"share":            {space: "11%"},
		"too small":        {space: "12%", err: "/d: 100.0 MiB of 900.0 MiB (11.1%) left, less than 12%"},
		"few inodes":       {inodes: "5.1%", err: "/d: 50 of 1000 inodes left, less than 5.1%"},
		"makes inodes":     {inodes: "5%", change: func(s *unix.Statfs_t) { s.Files, s.Ffree = 0, 0 }},
		"no fragment size": {space: "400MiB", change: func(s *unix.Statfs_t) { s.Frsize = 0 }},
		"full":             {space: "1KiB", change: func(s *unix.Statfs_t) { s.Bavail = 0 }, err: "/d: 0 KiB of 800.0 MiB (0.0%) left, less than 1KiB"},
		"of no size":       {space: "1%", change: func(s *unix.Statfs_t) { *s = unix.Statfs_t{} }, err: "/d: 0 KiB of 0 KiB (0.0%) left, less than 1%"},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := &Load{Disk: "/d"}, stat
			if tt.space != "" {
				l.MinDisk = loadAmount(t, tt.space)
			}
			if tt.inodes != "" {
				l.MinInodes = loadAmount(t, tt.inodes)
			}
			if tt.change != nil {
				tt.change(&s)
			}
			sameError(t, l.judgeDisk(within(t), s), tt.err, "")
		})
	}
}

// A file system that hangs takes no longer than the timeout, and is looked at once.
func TestLoadDiskHangs(t *testing.T) {
	dir, release := drivertest.HangingDir(t)
	l := &Load{Disk: dir, MinDisk: loadAmount(t, "1%")}
	sameError(t, l.Check(shortly(t)), "ADDR: the file system does not answer: timed out", dir)
	sameError(t, l.Check(within(t)), "ADDR: the file system hangs: an earlier look at it has not ended", dir)
	release()
	drivertest.Eventually(t, "the look ends", func() bool {
		return !strings.Contains(drivertest.ErrText(l.Check(within(t))), "hangs")
	})
}

// The files of the kernel that runs here.
func TestLoadHost(t *testing.T) {
	noLeaks(t)
	l := &Load{MaxLoad: 1e6, MinMemory: loadAmount(t, "1KiB"), Disk: "/", MinDisk: loadAmount(t, "1KiB"), MinInodes: loadAmount(t, "0.0001%")}
	want := []string{"load", "memory", "disk"}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil {
		l.MaxPressureCPU, l.MaxPressureMemory, l.MaxPressureIO = 100, 100, 100
		want = []string{"load", "memory", "pressure", "pressure", "pressure", "disk"}
		if _, err := l.Host()(); err != nil {
			t.Error(err)
		}
	}
	var s Sight
	if err := l.Check(WithSight(within(t), &s)); err != nil {
		t.Fatal(err)
	}
	seen, awaits := s.Seen()
	var got []string
	for _, one := range seen {
		got = append(got, one.What)
	}
	drivertest.Same(t, "what is seen", want, got)
	if awaits != "" {
		t.Errorf("waits for %s", awaits)
	}
	busy := &Load{MaxCPU: 100}
	if err := busy.Check(within(t)); !health.IsVoid(err) {
		t.Errorf("the first run: %v", err)
	}
	drivertest.Eventually(t, "a tick later", func() bool { return busy.Check(within(t)) == nil })
}

func TestLoadLooks(t *testing.T) {
	if (&Load{MaxLoad: 1}).Host() != nil {
		t.Error("there is a look at no file")
	}
	l := &Load{MaxPressureIO: 1, proc: loadProc(t, map[string]string{"pressure/cpu": ""})}
	if _, err := l.Host()(); !strings.Contains(drivertest.ErrText(err), "does not measure pressure") {
		t.Error(err)
	}
	// The run does not look at what it need not.
	sameError(t, l.Check(within(t)), "the pressure on io is 8%, more than 1%", "")
}

func TestLoadValidate(t *testing.T) {
	some := loadAmount(t, "5%")
	for name, tt := range map[string]struct {
		load *Load
		err  string
	}{
		"load":         {&Load{MaxLoad: 1}, ""},
		"cpu":          {&Load{MaxCPU: 1}, ""},
		"memory":       {&Load{MinMemory: some}, ""},
		"disk":         {&Load{Disk: "/a", MinDisk: some}, ""},
		"inodes":       {&Load{Disk: "/a", MinInodes: some}, ""},
		"pressure":     {&Load{MaxPressureIO: 1}, ""},
		"memory stall": {&Load{MaxPressureMemory: 1}, ""},
		"nothing":      {&Load{MinMemory: loadAmount(t, "0%")}, "nothing is looked at: set one of max_load, max_cpu, min_memory, min_disk, min_inodes, max_pressure_cpu, max_pressure_memory, max_pressure_io"},
		"disk alone":   {&Load{MaxLoad: 1, Disk: "/a"}, "disk: min_disk or min_inodes has to say what has to be left there"},
		"no disk":      {&Load{MinDisk: some}, "disk: missing, min_disk and min_inodes need it"},
		"relative":     {&Load{MinDisk: some, Disk: "a"}, `disk: "a" is no absolute path`},
		"NUL":          {&Load{MinDisk: some, Disk: "/\x00"}, `disk: "/\x00" is no absolute path`},
		"inode bytes":  {&Load{Disk: "/", MinInodes: loadAmount(t, "5MiB")}, "min_inodes: 5MiB is no share, as in 5%"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.load.Validate(), tt.err, "") })
	}
	for _, text := range []string{"", "5", "%", "MiB", "5MB", "101%", "-5%", "NaN%", "InfMiB", "5 Mi B", "5KiMiB"} {
		var a LoadAmount
		sameError(t, a.UnmarshalText([]byte(text)), `"`+text+`" is neither a share, as in 10%, nor a size, as in 512MiB`, "")
	}
	if text, err := some.MarshalText(); string(text) != "5%" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"3.00 2.00", "cpu 1 2 3 4 5\ncpu0 1 2 3 4 5\n", "MemTotal: 5 kB\nMemAvailable: 3 kB\n", "some avg10=1.00 avg60=2\n", "1.5TiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		load, err := parseLoad(text)
		pressure, err2 := parsePressure(text)
		if err == nil && !(load >= 0) || err2 == nil && !(pressure >= 0) {
			t.Errorf("load %v, pressure %v", load, pressure)
		}
		if times, err := parseLoadTimes(text); err == nil && times.processors < 1 {
			t.Errorf("%+v", times)
		}
		if memory, err := parseLoadMemory(text); err == nil && memory.of == 0 {
			t.Errorf("%+v", memory)
		}
		var a LoadAmount
		if a.UnmarshalText([]byte(text)) == nil && (a.percent > 100 || a.bytes < 0 || a.percent > 0 && a.bytes > 0) {
			t.Errorf("%+v", a)
		}
	})
}

// Idle and waiting for a disk are not busy, and what guests use is in the time of users.
func TestLoadTimes(t *testing.T) {
	got, err := parseLoadTimes("cpu 1 2 3 40 50 6 7 8 1000 1000\ncpu0 1 2 3 40\ncpu9 0 0 0 0\nintr 5 1 1 1 1\n")
	if want := (loadTimes{busy: 27, idle: 90, processors: 2}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}
