package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/pace"
)

func init() {
	register(Kind{
		Name: "process",
		Doc: "Looks whether a process runs, which is named by a pidfile, by a unit of systemd or by its executable. Its exit is noticed " +
			"at once, whatever the interval, and makes the check down at once, unless another process has taken over by then: " +
			"one that the pidfile or the unit names, or one of the same executable. A process that runs may still be deaf: " +
			"let another check ask it. `patience` allows for restarts.",
		Example: "pidfile: /run/unbound.pid\n",
		New:     func() Checker { return &Process{news: pace.NewBell()} },
		AtOnce:  processExits,
	})
}

// Process is fit while a process runs.
type Process struct {
	PIDFile string `config:"pidfile" doc:"Path of the file that names the process by its number. One of pidfile, unit and exe is needed."`
	Unit    string `config:"unit" doc:"Name of the service of systemd whose main process it is, as in 'unbound.service'. It is asked for over D-Bus."`
	Exe     string `config:"exe" doc:"Path of the executable that the process runs; that of a script is its interpreter. Symbolic links are followed. One that was replaced by an upgrade still counts. Beside pidfile or unit it is a condition, so that the number of a process that is gone is not taken for it once another program has it. Only with CAP_SYS_PTRACE does Linux show what the processes of other users run, and the package's unit does not have that: set unit or pidfile alone there."`
	Count   int    `config:"count" default:"1" min:"1" max:"1000" doc:"How many processes at least have to run, where exe alone names them."`

	seen atomic.Pointer[[]int] // the processes by which the last fit run was so
	news pace.Bell             // rung by each fit run, for Watch
}

// Validate implements Validator.
func (p *Process) Validate() error {
	switch {
	case p.PIDFile == "" && p.Unit == "" && p.Exe == "":
		return errors.New("pidfile, unit or exe: one of them has to name the process")
	case p.PIDFile != "" && p.Unit != "":
		return errors.New("pidfile and unit: only one of them can name the process")
	case p.PIDFile != "" && !path.IsAbs(p.PIDFile):
		return fmt.Errorf("pidfile: %q is no absolute path", p.PIDFile)
	case p.Exe != "" && !path.IsAbs(p.Exe):
		return fmt.Errorf("exe: %q is no absolute path", p.Exe)
	case p.Unit != "" && path.Ext(p.Unit) != ".service":
		return fmt.Errorf("unit: %q is no service, and only a service has a main process (%s.service?)", p.Unit, p.Unit)
	case p.Count > 1 && (p.PIDFile != "" || p.Unit != ""):
		return errors.New("count: a pidfile or a unit names one process; only exe alone finds more")
	}
	return nil
}

// Host implements Hosted.
func (p *Process) Host() func() ([]string, error) {
	if p.PIDFile == "" && p.Exe == "" {
		return nil
	}
	return p.look
}

// look finds no fault with a pidfile that is missing: there is none while the service is
// stopped.
func (p *Process) look() ([]string, error) {
	if p.PIDFile != "" {
		if _, err := readPIDFile(p.PIDFile); errors.Is(err, os.ErrPermission) {
			return nil, err
		}
	}
	if p.Exe != "" {
		if _, err := os.Stat(p.Exe); err != nil {
			return nil, fmt.Errorf("exe: %w", err)
		}
	}
	return nil, nil
}

// absentError marks an error as: no process was found, and none was hidden from us by a fault
// of something else.
type absentError struct{ error }

func (a absentError) Unwrap() error { return a.error }

// absent words such an error.
func absent(format string, args ...any) error { return absentError{fmt.Errorf(format, args...)} }

// Check implements Checker.
func (p *Process) Check(ctx context.Context) error {
	pids, err := p.find(ctx)
	if err != nil {
		return p.mourn(err)
	}
	p.seen.Store(&pids)
	p.news.Ring()
	if s := sight(ctx); s != nil {
		for _, pid := range pids {
			s.saw("process", "%s", describe(pid))
		}
	}
	return nil
}

// mourn makes a failure certain if no process was found and those that were there before
// are gone. Without the latter a service that restarts may be about to write its pidfile. A
// number that another process has got since leaves a doubt, and the failure as it is.
func (p *Process) mourn(err error) error {
	_, none := errors.AsType[absentError](err)
	seen := p.seen.Load()
	if !none || seen == nil || health.IsCertain(err) {
		return err
	}
	for _, pid := range *seen {
		if running, other := alive(pid); running || other != nil {
			return err
		}
	}
	return health.Certain(fmt.Errorf("process %d is gone: %w", (*seen)[0], err))
}

// find returns the processes that make the check fit.
func (p *Process) find(ctx context.Context) ([]int, error) {
	switch {
	case p.PIDFile != "":
		sight(ctx).waits("%s", p.PIDFile)
		return p.named(ctx, "which "+p.PIDFile+" names", func(context.Context) (int, error) { return readPIDFile(p.PIDFile) })
	case p.Unit != "":
		sight(ctx).waits("systemd")
		return p.named(ctx, "the main process of "+p.Unit, (&Systemd{Unit: p.Unit}).mainProcess)
	}
	return p.search(ctx)
}

// named returns the process that a name stands for. One that is gone may have been replaced
// between our two looks, as in a restart that keeps serving, so the name is asked for again.
// That ends once it stands for the same one.
func (p *Process) named(ctx context.Context, role string, ask func(context.Context) (int, error)) ([]int, error) {
	gone := 0
	for {
		pid, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		if pid == gone {
			return nil, health.Certain(fmt.Errorf("process %d, %s, is gone", pid, role))
		}
		fit, err := p.holds(pid, role)
		if err != nil {
			return nil, err
		}
		if fit {
			return []int{pid}, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the process, %s, is another one at each look: %w", role, explain(ctx, ctx.Err()))
		}
		gone = pid
	}
}

// holds reports whether a process runs, which is an error where it is not the program that it
// should be. It is held meanwhile, so that both are about the same process.
func (p *Process) holds(pid int, role string) (bool, error) {
	held, err := hold(pid)
	if err != nil || held == noProcess {
		return false, err
	}
	defer held.release()
	if p.Exe == "" {
		return !held.exited(), nil
	}
	program, err := programOf(pid)
	switch want := resolved(p.Exe); {
	case held.exited():
		return false, nil
	case err != nil:
		return false, fmt.Errorf("keepcast is not shown what process %d, %s, runs, which takes CAP_SYS_PTRACE: leave exe out (%w)", pid, role, err)
	case !isProgram(program, want):
		return false, absent("process %d, %s, runs %s, expected %s", pid, role, program, want)
	}
	return true, nil
}

// search looks for as many processes of the executable as are wanted.
func (p *Process) search(ctx context.Context) ([]int, error) {
	want := resolved(p.Exe)
	sight(ctx).waits("the list of processes")
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	var found []int
	_, hidden := programOf(1) // always there, unless it is hidden from us
	for _, pid := range pids {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("looking at the processes: %w", explain(ctx, ctx.Err()))
		}
		program, err := programOf(pid)
		if err != nil && hidden == nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			hidden = err
		}
		if err != nil || !isProgram(program, want) {
			continue
		}
		fit, err := p.holds(pid, "just seen") // the number may be another's by now
		if _, gone := errors.AsType[absentError](err); err != nil && !gone {
			return nil, err
		}
		if fit {
			found = append(found, pid)
		}
		if len(found) == max(p.Count, 1) {
			return found, nil
		}
	}
	return nil, p.tooFew(len(found), want, hidden)
}

// tooFew is the failure of a search. hidden is what kept us from looking at some processes.
func (p *Process) tooFew(found int, want string, hidden error) error {
	err := fmt.Errorf("no process runs %s", want)
	if found > 0 {
		err = fmt.Errorf("only %d of %d processes run %s", found, p.Count, want)
	}
	if hidden != nil {
		err = fmt.Errorf("%w, among those that keepcast may look at: without CAP_SYS_PTRACE "+
			"it is not shown what other users run (%w): set unit or pidfile instead of exe", err, hidden)
	}
	switch {
	case found > 0: // a pool of workers replaces those that end
		return err
	case hidden != nil:
		return absentError{err}
	}
	return health.Certain(err)
}

// Watch implements Watcher. Each fit run tells it by which processes it was so. It holds
// those, and no others: as long as they run, so does the check. What comes after them is for
// a run to find.
func (p *Process) Watch(ctx context.Context, changed func()) error {
	watched := map[int]*watchedProcess{}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer func() {
		for _, w := range watched {
			w.drop()
		}
	}()
	broken := make(chan error, 1)
	changed() // what a run found before may have exited
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case <-p.news:
		}
		pids := *p.seen.Load()
		for pid, w := range watched {
			if w.over.Load() || !slices.Contains(pids, pid) {
				w.drop()
				delete(watched, pid)
			}
		}
		for _, pid := range pids {
			if watched[pid] != nil {
				continue
			}
			w, err := watch(pid)
			switch {
			case err != nil:
				return err
			case w == nil:
				changed()
			default:
				watched[pid] = w
				waiting.Go(func() { w.await(changed, broken) })
			}
		}
	}
}
