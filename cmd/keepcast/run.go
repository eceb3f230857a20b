package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/kernel"
	"github.com/keepcast/keepcast/driver/pace"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "probe the services and keep the host in sync: the daemon",
		Long: `Run probes the services and keeps the kernel and the routing daemons in sync, until
SIGTERM or SIGINT. What happens to the announcements then is set by on_stop. A second
signal skips what is left of linger. A third ends keepcast at once, and leaves the host as
it is. Exit code 5 when something may still be announced although it was to be withdrawn.

SIGHUP, or "keepcast reload", loads the configuration anew. When it is bad, the old one
stays in force and every fault is logged. A start with a bad one goes on with what was in
force last (state_directory/last-good.yaml), says so in log, status and metrics, and ends
with exit code 3 where there is none; on_bad_configuration: exit has it end in any case.`,
		Example: "  keepcast run --config /etc/keepcast/keepcast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c.Context(), c.ErrOrStderr())
		},
	}
}

// daemon is the running keepcast.
type daemon struct {
	app         *app
	cfg         *config.Config
	log         *slog.Logger
	level       *slog.LevelVar // of the log
	metrics     *engine.Metrics
	engine      *engine.Engine
	systemd     systemd
	pulse       health.Pulse
	sockets     *sockets.Watch
	open        func(config.Driver) // gives a driver its surroundings: only a restart changes them
	hangups     <-chan os.Signal    // each has the configuration loaded anew
	hurry       <-chan struct{}     // closed when a stop is not to wait for linger
	saved       []*savedDir
	descriptors descriptors
	refused     error // why cfg is the last good configuration and not that of the operator
}

func (a *app) run(ctx context.Context, errOut io.Writer) error {
	hangups, hurry, end := heeding()
	defer end()
	cfg, refused, err := a.startConfig(errOut)
	if err != nil {
		return err
	}
	defer survivePipes()()
	queue := newLogQueue(errOut)
	defer queue.close()
	level := levelVar(cfg.LogLevel)
	log := newLogger(queue, level)
	slog.SetDefault(log) // for libraries that log by themselves, such as net/http
	collectGarbage()
	limitMemory(memlimit.FromCgroup, log)
	if refused != nil {
		log.Error("the configuration is not valid: going on with the one that was in force last", "file", cfg.Files[0], "err", refused)
	}
	if err := makeDirectories(cfg); err != nil {
		return err
	}
	socket := a.socketOf(cfg)
	lock, err := control.TakeLock(ctx, cfg.RuntimeDir)
	if err != nil {
		return err
	}
	defer lock.Release()
	listener, err := control.Listen(ctx, socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	queue.register(registry)
	d := &daemon{app: a, cfg: cfg, log: log, level: level, metrics: engine.NewMetrics(registry), systemd: newSystemd(), hangups: hangups, hurry: hurry, refused: refused}
	d.open = opener(cfg, log, d.metrics.Reloaded)
	equip(cfg, d.open)
	d.warnOfBinding()
	d.descriptors.limit, d.descriptors.log = descriptorLimit, log
	d.descriptors.compare(cfg)
	d.saved = savedDirs(cfg, log)
	d.engine = engine.New(cfg, d.options())
	registry.MustRegister(engine.Collector{Engine: d.engine})
	server := &control.Server{
		Engine: d.engine, Metrics: registry, Log: d.log, Lock: lock, Address: cfg.Listen, Socket: listener,
		OpenSocket: control.ListenAnew(socket),
	}
	d.equip(server)
	return d.run(ctx, server)
}

// equip gives the server what the configuration asks for.
func (d *daemon) equip(server *control.Server) {
	server.Found = append(server.Found, d.descriptors.finding.Load, unwatched(d.sockets))
	for _, dir := range d.saved {
		server.Found = append(server.Found, dir.finding.Load)
	}
	if d.cfg.Listen != "" {
		server.OpenWeb = func(ctx context.Context) (net.Listener, error) {
			return (&net.ListenConfig{}).Listen(ctx, "tcp", d.cfg.Listen)
		}
	}
}

// run runs the engine, the server and the signals until the engine has ended.
func (d *daemon) run(ctx context.Context, server *control.Server) error {
	// The servers outlive the stop signal: a drain under way can be watched.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	reloads := newReloads(d.reload)
	server.Reload = reloads.order
	running.Go(func() { server.Serve(serving) })
	running.Go(func() { reloads.run(serving, d.hangups) })
	running.Go(func() { d.systemd.run(serving) })
	running.Go(func() { watchSockets(serving, d.sockets) })
	for _, dir := range d.saved {
		running.Go(func() { dir.keep(serving) })
	}
	err := d.engine.Run(ctx)
	end()
	if !pace.Within(endLimit, running.Wait) {
		d.log.Error("a reload, a client, a directory or the service manager hangs, ending without it")
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// endLimit is how long an end waits for everything beside the engine.
const endLimit = 3 * time.Second

func (d *daemon) options() engine.Options {
	kernel := kernel.New(d.cfg.Interface, d.log.With("driver", "kernel"))
	d.sockets = sockets.New(kernel.Local)
	var stopping atomic.Bool
	o := engine.Options{
		Version: version(), Local: kernel.Local, Addresses: kernel.Addresses, VRF: kernel.VRF, Log: d.log, Metrics: d.metrics, Hurry: d.hurry,
		Pulse: &d.pulse, Sockets: d.sockets, Open: d.open,
		Withdraw: func(ctx context.Context, onStop string) bool {
			stopping.Store(true)
			d.systemd.stopping()
			return d.systemd.withdraw(ctx, onStop, d.log)
		},
		Ready: func() {
			d.log.Info("ready", "version", version(), "services", len(d.cfg.Services), "drivers", len(d.cfg.Drivers))
			d.systemd.ready()
		},
		Alive: func() { d.systemd.alive(stopping.Load()) }, AliveEvery: d.systemd.aliveEvery(),
	}
	if d.refused != nil {
		o.Refused = d.refused.Error()
	}
	if d.cfg.ManageAddresses {
		o.Kernel = kernel
	}
	return o
}

// warnOfBinding warns that a service bound to its IPv6 address could not start
// again once it is withdrawn.
func (d *daemon) warnOfBinding() {
	if f, ok := doctor.NonlocalBind(d.cfg, os.DirFS(procSys), doctor.ReadSockets()); ok {
		d.log.Warn(f.Text, "service", f.Subject, "fix", f.Fix)
	}
}
