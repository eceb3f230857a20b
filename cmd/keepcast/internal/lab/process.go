package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Program is something that a node can run and that does not end by itself.
type Program struct {
	Name   string   // unlike any other on its node; its log is NAME.log in the node's directory
	Args   []string // the command and its arguments
	Rooted bool     // runs in the lab's root, if it has one
	// Ready returns nil once the program does its work. It is asked until then;
	// nil: as soon as it runs.
	Ready func(ctx context.Context) error
	// Line is called with each line it writes, as it writes it, if not nil.
	Line func(line string)
	// Started is called once the program is ready, to configure it.
	Started func(ctx context.Context) error
}

// Process is a program on a node, whether it runs or not. It is for one goroutine
// at a time.
type Process struct {
	Program
	node *Node
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended and been waited for
	err  error         // of cmd, valid after done

	logStart int64 // length of the log when it was started last
}

// Add makes a program known to the node, without starting it.
func (n *Node) Add(p Program) (*Process, error) {
	if _, twice := n.processes[p.Name]; twice {
		return nil, fmt.Errorf("%s on %s: added twice", p.Name, n.name)
	}
	n.processes[p.Name] = &Process{Program: p, node: n}
	return n.processes[p.Name], nil
}

// Process returns the process of that name, or an error that names the node.
func (n *Node) Process(name string) (*Process, error) {
	if p, ok := n.processes[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("%s on %s: no such process", name, n.name)
}

// Start starts the program and returns once it is ready. It is an error if it
// runs already, or ends before it is ready. After an error it does not run.
func (p *Process) Start(ctx context.Context) error {
	if p.Running() {
		return p.failed("starting", errors.New("runs already"))
	}
	if err := p.spawn(ctx); err != nil {
		return p.failed("starting", err)
	}
	err := p.getReady(ctx)
	if err != nil {
		_ = p.cmd.Process.Kill() // may have ended already
		p.wait()
	}
	return err
}

func (p *Process) getReady(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if p.Ready != nil {
		err := Until(ctx, "it to be ready", func(ctx context.Context) error {
			if !p.Running() {
				cancel(fmt.Errorf("ended: %w", errOr(p.err, "exit status 0")))
			}
			return p.Ready(ctx)
		})
		if err != nil {
			return p.failed("starting", err)
		}
	}
	if p.Started != nil {
		if err := p.Started(ctx); err != nil {
			return p.failed("configuring", err)
		}
	}
	return nil
}

func (p *Process) spawn(ctx context.Context) error {
	root := ""
	if p.Rooted {
		root = p.node.lab.options.Root
	}
	cmd, err := command(context.WithoutCancel(ctx), root, p.Args) // it outlives its start
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if p.logStart, err = log.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, log.Close())
	}
	// Not the file itself but a pipe, which a confined daemon may write to.
	both := &output{log: log, line: p.Line}
	cmd.Stdout, cmd.Stderr = both, both
	if err := p.node.enter(cmd.Start); err != nil {
		return errors.Join(err, log.Close())
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() { // waited for by Stop, Kill and the node's close
		p.err = errors.Join(cmd.Wait(), log.Close())
		close(done)
	}()
	return nil
}

// output is where the standard output and error of a process go.
type output struct {
	log     io.Writer
	line    func(string)
	partial []byte
}

func (o *output) Write(b []byte) (int, error) {
	if o.line != nil {
		o.partial = append(o.partial, b...)
		for {
			line, rest, ok := bytes.Cut(o.partial, []byte("\n"))
			if !ok {
				break
			}
			o.line(string(line))
			o.partial = rest
		}
	}
	return o.log.Write(b)
}

// Running tells whether the process runs.
func (p *Process) Running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID is the process id as the machine outside sees it; 0 if it does not run.
func (p *Process) PID() int {
	if !p.Running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Done is closed when the process that was started last has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the path of the file with all the process has written.
func (p *Process) Log() string { return filepath.Join(p.node.dir, p.Name+".log") }

// Stop asks the process to end, as systemctl stop does, and waits for it.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, syscall.SIGTERM) }

// Kill ends the process at once and waits for it.
func (p *Process) Kill(ctx context.Context) error { return p.end(ctx, syscall.SIGKILL) }

// Restart stops the process and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Signal sends the process a signal: SIGHUP to reload, SIGSTOP to make it hang.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return p.failed("signalling", os.ErrProcessDone)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return p.failed("signalling", err)
	}
	return nil
}

func (p *Process) end(ctx context.Context, sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil // how it ended is not this caller's concern: it was told to
	case <-ctx.Done():
		return p.failed("stopping", context.Cause(ctx))
	}
}

// wait waits for the end of a process whose group was killed.
func (p *Process) wait() {
	if p.done != nil {
		<-p.done
	}
}

// failed says which process it was and adds the end of its log.
func (p *Process) failed(doing string, err error) error {
	said, _ := os.ReadFile(p.Log()) // no log: nothing to add
	said = bytes.TrimSpace(said)
	if len(said) > 1000 {
		said = said[len(said)-1000:]
	}
	if len(said) == 0 {
		return fmt.Errorf("%s %s on %s: %w", doing, p.Name, p.node.name, err)
	}
	return fmt.Errorf("%s %s on %s: %w; its log ends:\n%s", doing, p.Name, p.node.name, err, said)
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}
