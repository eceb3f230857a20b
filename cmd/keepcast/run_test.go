package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What a run can't do without is said, and ends it.
func TestRunFails(t *testing.T) {
	for name, tt := range map[string]struct {
		old, new string // in the configuration
		code     int
		want     string
	}{
		"configuration": {"listen", "lisen", exitConfig, `DIR/keepcast.yaml:2:1: lisen: no such setting (did you mean "listen"?)` + "\n1 fault in the configuration"},
		"runtime": {
			"DIR/runtime", "DIR/t/runtime", exitConfig,
			"DIR/keepcast.yaml:4:1: runtime_directory: DIR/t is a file, not a directory\n1 fault in the configuration",
		},
		"state": {
			"DIR/state", "/proc/1/state", exitFailed,
			"keepcast: directory for the state: mkdir /proc/1/state: no such file or directory (see runtime_directory and state_directory)",
		},
		"socket": {"DIR/keepcast.sock", "/proc/1/run/keepcast.sock", exitFailed, "keepcast: control socket: mkdir /proc/1/run: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, strings.Replace(gated, tt.old, tt.new, 1))
			drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
			before := slog.Default()
			t.Cleanup(func() { slog.SetDefault(before) })
			code, _, errs := keepcastSays(t, "run", "-c", file)
			if got := strings.ReplaceAll(errs, filepath.Dir(file), "DIR"); code != tt.code || got != tt.want+"\n" {
				t.Errorf("exit code %d, got %s, want %s", code, got, tt.want)
			}
			if _, err := os.Lstat(filepath.Dir(file) + "/keepcast.sock"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the control socket is left behind: %v", err)
			}
		})
	}
}

// A running keepcast shows how it is itself, and what it does.
func TestRunMetrics(t *testing.T) {
	k := start(t, "")
	has(t, k.get("/metrics"), "\ngo_goroutines ", "\nkeepcast_log_dropped_total 0\n", "\nprocess_open_fds ", "\nkeepcast_announcement_desired{",
		`keepcast_driver_reloads_total{driver="file"} `, `keepcast_build_info{goversion="`+runtime.Version()+`",version="`+version()+`"} 1`)
	slog.Warn("what a library says")
	k.logged(`level=WARN msg="what a library says"`, "level=INFO msg=ready version="+version()+" services=1 drivers=1\n")
}

// A flag overrides the configured socket.
func TestRunSocket(t *testing.T) {
	other := filepath.Join(drivertest.SocketDir(t), "other.sock")
	k := start(t, "", "--socket", other)
	if s, err := (control.Client{Socket: other}).Status(t.Context()); err != nil || len(s.Services) != 1 {
		t.Errorf("got %v, %v", s, err)
	}
	if _, err := k.client().Status(t.Context()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("at the configured one: %v", err)
	}
}

// Who asks for a reload is told how it went; SIGHUP tells the log.
func TestReload(t *testing.T) {
	k := start(t, "")
	const web = `{name: web, addresses: [192.0.2.80], checks: [{kind: exec, command: ["true"]}]}`
	const more = `{name: more, kind: template, template: DIR/t, output: DIR/more, reload: ["true"]}`
	k.write("keepcast.yaml", strings.NewReplacer("services: [", "services: ["+web+", ", "drivers: [", "drivers: ["+more+", ").Replace(gated))
	s, err := k.client().Reload(t.Context())
	if err != nil || len(s.Services) != 2 {
		t.Fatalf("%d services, %v", len(s.Services), err)
	}
	drivertest.Eventually(t, "web is announced", func() bool { return k.gate() == "192.0.2.53/32\n192.0.2.80/32\n" })
	k.logged("level=INFO msg=\"configuration reloaded\" files=1 services=2\n")
	drivertest.Eventually(t, "the new driver's reloads are counted", func() bool {
		return strings.Contains(k.get("/metrics"), `keepcast_driver_reloads_total{driver="more"} `)
	})

	for more, want := range map[string]string{
		"lingre: 1s\n":      k.path("keepcast.yaml") + ":10:1: lingre: no such setting",
		"interface: any1\n": "interface: changed from anycast0 to any1, which takes a restart of keepcast",
	} {
		k.write("keepcast.yaml", gated+more)
		if _, err := k.client().Reload(t.Context()); !strings.HasPrefix(drivertest.ErrText(err), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		s, err := k.client().Status(t.Context())
		if err != nil || len(s.Services) != 2 || !strings.HasPrefix(s.Config.Error, want) {
			t.Errorf("got %+v, %v, want %s", s.Config, err, want)
		}
	}
	drivertest.Eventually(t, "both are logged", func() bool {
		return strings.Count(k.log.String(), `level=ERROR msg="reload refused, the old configuration stays in force" err=`) == 2
	})

	k.write("keepcast.yaml", gated)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "web is withdrawn", func() bool { return k.gate() == "192.0.2.53/32\n" })
	k.logged("level=INFO msg=\"configuration reloaded\" files=1 services=1\n")
}

// The kernel is left alone where somebody else manages the addresses.
func TestManageAddresses(t *testing.T) {
	for _, manage := range []bool{true, false} {
		cfg := config.Defaults()
		cfg.ManageAddresses = manage
		d := &daemon{cfg: cfg, log: slog.New(slog.DiscardHandler)}
		if got := d.options().Kernel != nil; got != manage {
			t.Errorf("manage_addresses: %v, the kernel is kept in sync: %v", manage, got)
		}
	}
}

// A keepcast whose server failed ended, and with it the announcements. It goes on.
// Nothing is reloaded once it has ended.
func TestServerFails(t *testing.T) {
	k := start(t, "")
	if err := os.Remove(k.path("keepcast.sock")); err != nil {
		t.Fatal(err)
	}
	k.logged(`level=ERROR msg="control socket: nobody can come in, trying again" err="` + k.path("keepcast.sock") + ` was removed"`)
	drivertest.Eventually(t, "it is made anew", func() bool {
		_, err := k.client().Status(t.Context())
		return err == nil
	})
	if code := k.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	cfg := loadedAt(t, k.path("keepcast.yaml"))
	d := &daemon{app: &app{configFile: k.path("keepcast.yaml")}, cfg: cfg, log: newLogger(io.Discard, slog.LevelInfo), metrics: engine.NewMetrics(prometheus.NewRegistry()), open: func(config.Driver) {}}
	d.engine = engine.New(cfg, d.options())
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := d.engine.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{gated, "fish: 1\n"} {
		k.write("keepcast.yaml", text)
		if err := d.reload(); !errors.Is(err, api.ErrStopped) {
			t.Errorf("got %v", err)
		}
	}
}

// A port in use kept keepcast from announcing anything, and ten starts later the fail-safe
// withdrew everything: keepcast runs, and says in its status that nobody gets in there.
func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	k := startWith(t, strings.Replace(gated, "listen: ''", "listen: "+address, 1))
	_, out, _ := keepcastSays(t, "status", "-c", k.path("keepcast.yaml"))
	has(t, out, "\nwarning listen "+address+" (not-listening)\n  no /metrics, /healthz, /readyz and /v1/status there: listen tcp "+address+
		": bind: address already in use\n  fix: it is tried again; see who has the port (ss -tlnp), and end that, or give keepcast another one by listen\n")
	taken.Close()
	drivertest.Eventually(t, "it listens", func() bool {
		resp, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	drivertest.Eventually(t, "the finding is gone", func() bool {
		_, out, _ := keepcastSays(t, "status", "-c", k.path("keepcast.yaml"))
		return !strings.Contains(out, "not-listening")
	})
}

// Two keepcasts with one runtime directory undo each other's work: the second is refused,
// and told who has it, also where its control socket is another or the file of it is gone.
func TestRunTwice(t *testing.T) {
	k := start(t, "")
	if err := os.Remove(k.path("keepcast.sock")); err != nil {
		t.Fatal(err)
	}
	code, _, errs := keepcastSays(t, "run", "-c", k.path("keepcast.yaml"), "--socket", k.path("other.sock"))
	want := "keepcast: another keepcast is running (pid " + strconv.Itoa(os.Getpid()) + "): it holds " + k.path("runtime/lock") + "\n"
	if code != exitFailed || errs != want {
		t.Errorf("exit code %d, got %s, want %s", code, errs, want)
	}
}

func TestLogger(t *testing.T) {
	for level, want := range map[string]string{"debug": "dbg", "info": "inf", "warn": "wrn", "error": "err", "nonsense": "inf"} {
		var b strings.Builder
		log := newLogger(&b, levelOf(level))
		log.Debug("dbg")
		log.Info("inf")
		log.Warn("wrn")
		log.Error("err")
		if got := b.String(); !strings.Contains(strings.SplitN(got, "\n", 2)[0], "msg="+want) {
			t.Errorf("%s: got %s", level, got)
		}
	}
}

// Who binds to an IPv6 address that keepcast takes away is warned at the start.
func TestWarnOfBinding(t *testing.T) {
	needed := drivertest.ReadFile(t, procSys+"/net/ipv6/ip_nonlocal_bind") == "0\n"
	l, err := net.Listen("tcp", ":0") // which serves any address of the host, bound to none
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	const command = `kind: exec, command: ["true"]`
	for _, tt := range []struct {
		address, check string
		warned         bool
	}{
		{"192.0.2.53", command, false},
		{"2001:db8::53", command, needed},
		{"2001:db8::53", "kind: tcp, address: '127.0.0.1:" + port + "'", false},
	} {
		var b strings.Builder
		cfg := loaded(t, `services: [{name: dns, addresses: ["`+tt.address+`"], checks: [{`+tt.check+`}]}]`)
		d := &daemon{cfg: cfg, log: newLogger(&b, slog.LevelInfo)}
		d.warnOfBinding()
		const want = `level=WARN msg="a service bound to its IPv6 address can't start again while it is withdrawn, and a UDP service can't answer from it" service=dns fix="sysctl -w net.ipv6.ip_nonlocal_bind=1, `
		if got := b.String(); strings.Contains(got, want) != tt.warned || tt.warned == (got == "") {
			t.Errorf("%s, %s: got %s", tt.address, tt.check, got)
		}
	}
}

// A reload that changed on_stop was "in force", and the stop after it went by the old one:
// the host of whoever asked for a withdrawal stayed announced. log_level took a restart.
func TestReloadIsInForce(t *testing.T) {
	k := start(t, "on_stop: keep\nlog_level: warn\n")
	k.write("keepcast.yaml", gated+"on_stop: withdraw\nlog_level: debug\n")
	if _, err := k.client().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.logged("level=DEBUG")
	if code := k.stop(); code != exitOK || k.gate() != "" {
		t.Errorf("exit code %d, announced after the stop: %q", code, k.gate())
	}
}

// A check whose command or certificate did not exist was valid, reloaded and "in force",
// and failed for ever. A start goes on without it: there, one check fails, not all.
func TestMissingFiles(t *testing.T) {
	const missing = `- {name: web, addresses: [192.0.2.80], checks: [{kind: exec, command: [/nowhere/check]}]}` + "\n"
	k := start(t, "")
	if err := os.Mkdir(k.path("conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	k.write("conf.d/web.yaml", "services:\n"+missing)
	want := k.path("conf.d/web.yaml") + ":2:49: services[web].checks[exec]: command: /nowhere/check does not exist"
	if _, err := k.client().Reload(t.Context()); drivertest.ErrText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for flag, code := range map[string]int{"--offline=false": exitConfig, "--offline": exitOK} {
		if got, out, errs := keepcastSays(t, "validate", "-c", k.path("keepcast.yaml"), flag); got != code {
			t.Errorf("validate %s: exit code %d, %s%s", flag, got, out, errs)
		}
	}
	k.stop()
	k.write("out", "")
	code := make(chan int, 1)
	ctx, end := context.WithCancel(t.Context())
	go func() { code <- keepcast(ctx, []string{"run", "-c", k.path("keepcast.yaml")}, io.Discard, &k.log) }()
	drivertest.Eventually(t, "the service that works is announced", func() bool { return k.gate() == "192.0.2.53/32\n" })
	end()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}
