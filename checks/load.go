package checks

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "load",
		Doc: "Looks at how loaded this host is: processors, memory, space on disk, pressure stall information of Linux. It is meant for `on_failure: degrade`, " +
			"which sheds load; whoever withdraws for load sends it to the next host, and so on: see the how-to about detection. All values are those of the whole host, in a container, too, " +
			"whatever limits its cgroup has. What the kernel does not tell makes the run void.",
		Example: "max_load: 2\nmin_memory: 5%\ndisk: /var\nmin_disk: 1GiB\n",
		New:     func() Checker { return new(Load) },
	})
}

// Load is fit while the host is not too loaded.
type Load struct {
	MaxLoad           float64    `config:"max_load" default:"0" min:"0" doc:"Load average of the last minute that each processor may have. It counts what waits for a disk, too. 0: not looked at."`
	MaxCPU            float64    `config:"max_cpu" default:"0" min:"0" max:"100" doc:"Percentage of the time that the processors may have been busy since the run before, all of them together. What a hypervisor takes away counts as busy, the wait for disks does not. The first run has none before it and is void, unless something else is wrong. 0: not looked at."`
	MinMemory         LoadAmount `config:"min_memory" doc:"Memory that has to be available without swapping (MemAvailable), as a share of all, as in '10%', or as in '512MiB'."`
	Disk              string     `config:"disk" doc:"Absolute path on the file system that min_disk and min_inodes are about. In the unit's sandbox '/tmp', '/home' and '/root' are not those of the host."`
	MinDisk           LoadAmount `config:"min_disk" doc:"Space that has to be left there for others than root, as in '5%' of all that they may have, or as in '1GiB'."`
	MinInodes         LoadAmount `config:"min_inodes" doc:"Share of the inodes that has to be left there, as in '5%'. A file system that makes them as it needs them has enough."`
	MaxPressureCPU    float64    `config:"max_pressure_cpu" default:"0" min:"0" max:"100" doc:"Percentage of the last ten seconds for which something may have waited for a processor ('some' in /proc/pressure/cpu). 0: not looked at."`
	MaxPressureMemory float64    `config:"max_pressure_memory" default:"0" min:"0" max:"100" doc:"The same for memory: reading back what was thrown out, and swapping. A few percent are much. 0: not looked at."`
	MaxPressureIO     float64    `config:"max_pressure_io" default:"0" min:"0" max:"100" doc:"The same for disks. 0: not looked at."`

	proc  string    // in place of /proc, for tests
	last  loadTimes // of the run before
	disks fileCalls
}

// Validate implements Validator.
func (l *Load) Validate() error {
	onDisk := l.MinDisk.isSet() || l.MinInodes.isSet()
	switch {
	case !onDisk && l.Disk != "":
		return errors.New("disk: min_disk or min_inodes has to say what has to be left there")
	case onDisk && l.Disk == "":
		return errors.New("disk: missing, min_disk and min_inodes need it")
	case onDisk && (!filepath.IsAbs(l.Disk) || strings.Contains(l.Disk, "\x00")):
		return fmt.Errorf("disk: %q is no absolute path", l.Disk)
	case l.MinInodes.bytes > 0:
		return fmt.Errorf("min_inodes: %s is no share, as in 5%%", l.MinInodes)
	case !onDisk && !l.MinMemory.isSet() && l.MaxLoad == 0 && l.MaxCPU == 0 && !l.pressure():
		return errors.New("nothing is looked at: set one of max_load, max_cpu, min_memory, min_disk, min_inodes, max_pressure_cpu, max_pressure_memory, max_pressure_io")
	}
	return nil
}

// pressure reports whether pressure is looked at.
func (l *Load) pressure() bool {
	return l.MaxPressureCPU > 0 || l.MaxPressureMemory > 0 || l.MaxPressureIO > 0
}

// Host implements Hosted: pressure is not measured by every kernel.
func (l *Load) Host() func() ([]string, error) {
	if !l.pressure() {
		return nil
	}
	return func() ([]string, error) {
		_, err := l.pressureOf("cpu")
		return nil, err
	}
}

// Check implements Checker. All that is wrong is said together. What could not be looked at
// makes the run void only if nothing is wrong.
func (l *Load) Check(ctx context.Context) error {
	var wrong, void error
	for _, look := range []func(context.Context) error{
		l.checkLoad, l.checkCPU, l.checkMemory,
		l.pressureCheck("cpu", l.MaxPressureCPU), l.pressureCheck("memory", l.MaxPressureMemory), l.pressureCheck("io", l.MaxPressureIO),
		l.checkDisk, // the last, since it may take all the time
	} {
		err := look(ctx)
		switch {
		case err == nil:
		case health.IsVoid(err):
			void = err
		case wrong == nil:
			wrong = err
		default:
			wrong = fmt.Errorf("%w; %w", wrong, err)
		}
	}
	if wrong != nil {
		return wrong
	}
	return void
}

func (l *Load) checkLoad(ctx context.Context) error {
	if l.MaxLoad == 0 {
		return nil
	}
	load, err := readLoad(l.proc, "loadavg", parseLoad)
	if err != nil {
		return err
	}
	times, err := readLoad(l.proc, "stat", parseLoadTimes)
	if err != nil {
		return err
	}
	each := load / float64(times.processors)
	sight(ctx).saw("load", "%.2f, of %d processors", load, times.processors)
	if each > l.MaxLoad {
		return fmt.Errorf("the load is %.2f, for each of the %d processors %.2f, more than %g", load, times.processors, each, l.MaxLoad)
	}
	return nil
}

func (l *Load) checkCPU(ctx context.Context) error {
	if l.MaxCPU == 0 {
		return nil
	}
	now, err := readLoad(l.proc, "stat", parseLoadTimes)
	if err != nil {
		return err
	}
	before := l.last
	if now.total() <= before.total() { // not a tick later
		return health.Void(errors.New("max_cpu: no time has passed since the run before"))
	}
	if l.last = now; before.processors == 0 {
		return health.Void(errors.New("max_cpu: the first run has none before it to compare with, the next one will"))
	}
	share := now.busySince(before)
	sight(ctx).saw("cpu", "%.1f%% busy since the run before", share)
	if share > l.MaxCPU {
		return fmt.Errorf("the processors were busy for %.1f%% of the time, more than %g%%", share, l.MaxCPU)
	}
	return nil
}

func (l *Load) checkMemory(ctx context.Context) error {
	if !l.MinMemory.isSet() {
		return nil
	}
	memory, err := readLoad(l.proc, "meminfo", parseLoadMemory)
	if err != nil {
		return err
	}
	sight(ctx).saw("memory", "%s available", memory)
	if l.MinMemory.lackedBy(memory) {
		return fmt.Errorf("%s of memory available, less than %s", memory, l.MinMemory)
	}
	return nil
}

// pressureOf returns the pressure of one sort, in percent.
func (l *Load) pressureOf(sort string) (float64, error) {
	return readLoad(l.proc, "pressure/"+sort, parsePressure)
}

func (l *Load) pressureCheck(sort string, most float64) func(context.Context) error {
	return func(ctx context.Context) error {
		if most == 0 {
			return nil
		}
		some, err := l.pressureOf(sort)
		if err != nil {
			return err
		}
		sight(ctx).saw("pressure", "%s: %g%%", sort, some)
		if some > most {
			return fmt.Errorf("the pressure on %s is %g%%, more than %g%%", sort, some, most)
		}
		return nil
	}
}

func (l *Load) checkDisk(ctx context.Context) error {
	if l.Disk == "" {
		return nil
	}
	sight(ctx).waits("the file system of %s", l.Disk)
	var stat unix.Statfs_t
	var err error
	if hangs := l.disks.do(ctx, func() { err = unix.Statfs(l.Disk, &stat) }); hangs != nil {
		return fmt.Errorf("%s: %w", l.Disk, hangs)
	}
	if err != nil {
		return fmt.Errorf("statfs %s: %w", l.Disk, err)
	}
	return l.judgeDisk(ctx, stat)
}

func (l *Load) judgeDisk(ctx context.Context, stat unix.Statfs_t) error {
	space, inodes := loadSpace(stat)
	sight(ctx).saw("disk", "%s: %s left, %d of %d inodes", l.Disk, space, inodes.have, inodes.of)
	if l.MinDisk.isSet() && l.MinDisk.lackedBy(space) {
		return fmt.Errorf("%s: %s left, less than %s", l.Disk, space, l.MinDisk)
	}
	if inodes.of > 0 && l.MinInodes.isSet() && l.MinInodes.lackedBy(inodes) {
		return fmt.Errorf("%s: %d of %d inodes left, less than %s", l.Disk, inodes.have, inodes.of, l.MinInodes)
	}
	return nil
}
