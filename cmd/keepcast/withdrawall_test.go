package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// As much as can be known is withdrawn, and what could not be is said.
func TestWithdrawAll(t *testing.T) {
	const (
		own    = "going by DIR/keepcast.yaml\n"
		last   = "going by the configuration that was in force last (DIR/runtime/config.yaml)\n"
		closed = "file: the gate is closed\n"
		failed = "keepcast: not everything may be withdrawn: "
	)
	for name, tt := range map[string]struct {
		inForce string // the configuration of the last run; empty: there was none
		flags   string
		running bool
		code    int
		out     string
		errs    string
		gate    string
	}{
		"never ran":     {"", "", false, exitOK, own + closed, "", ""},
		"ran before":    {gated, "", false, exitOK, last + closed, "", ""},
		"crashed":       {gated + "on_crash: withdraw\n", "--crashed", false, exitOK, last + closed, "", ""},
		"crashed, keep": {gated + "on_crash: keep\n", "--crashed", false, exitOK, last + "on_crash is keep: the host stays as it is\n", "", "open"},
		"unreadable": {
			"fish", "", false, exitFailed, own + closed,
			failed + "what was in force last: DIR/runtime/config.yaml:1:1: settings (name: value) expected at the top level\n", "",
		},
		"gate stuck": {
			strings.ReplaceAll(gated, "DIR/out", "DIR/none/out"), "", false, exitFailed,
			last,
			failed + "file: ", "open",
		},
		"running": {
			"", "", true, exitFailed, own,
			`keepcast: keepcast is running (it answers at DIR/keepcast.sock) and would announce everything again: "keepcast drain --all", or stop it first; --force withdraws all the same` + "\n", "open",
		},
		"running, forced":    {"", "--force", true, exitOK, own + closed, "", ""},
		"another is running": {"", "--socket DIR/another.sock", true, exitOK, own + closed, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, gated)
			dir := filepath.Dir(file)
			here := func(text string) string { return strings.ReplaceAll(text, "DIR", dir) }
			drivertest.WriteFile(t, dir+"/t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
			drivertest.WriteFile(t, dir+"/out", "open")
			if tt.inForce != "" {
				if err := os.Mkdir(dir+"/runtime", 0o755); err != nil {
					t.Fatal(err)
				}
				drivertest.WriteFile(t, dir+"/runtime/config.yaml", here(tt.inForce))
			}
			if tt.running {
				answersAt(t, &fakeEngine{}, dir+"/keepcast.sock")
			}
			code, out, errs := keepcastSays(t, strings.Fields("withdraw-all -c "+file+" "+here(tt.flags))...)
			if code != tt.code || out != here(tt.out) || !strings.HasPrefix(errs, here(tt.errs)) || (errs == "") != (tt.errs == "") {
				t.Errorf("exit code %d, got %s%s, want %s%s", code, out, errs, here(tt.out), here(tt.errs))
			}
			if got := drivertest.ReadFile(t, dir+"/out"); got != tt.gate {
				t.Errorf("the gate is %q, want %q", got, tt.gate)
			}
		})
	}
}

// Where no configuration is valid, what the kernel has still goes.
func TestInForce(t *testing.T) {
	dir := drivertest.SocketDir(t)
	a := &app{configFile: dir + "/keepcast.yaml"}
	drivertest.WriteFile(t, a.configFile, "fish: 1\n")
	var told []string
	cfg, unread, err := a.inForce(withdrawal{runtimeDir: dir}, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
	if unread != nil || err != nil {
		t.Fatal(unread, err)
	}
	if cfg.RuntimeDir != dir || !cfg.ManageAddresses || len(cfg.Services) > 0 {
		t.Errorf("got %+v", cfg)
	}
	if d := cmp.Diff([]string{
		"no valid configuration: the gates of the routing daemons are not known, and stay as they are",
		"  " + a.configFile + ": services: no service is configured\n" + a.configFile + ":1:1: fish: no such setting",
	}, told); d != "" {
		t.Error(d)
	}
}

// A file that is named, but is missing or broken and says no runtime_directory, may be of any
// keepcast. The one in /run/keepcast was withdrawn in its place, with exit code 0. Only the
// default file means that one.
func TestInForceGuessesNothing(t *testing.T) {
	dir := drivertest.SocketDir(t)
	drivertest.WriteFile(t, dir+"/broken.yaml", "fish: 1\n")
	for _, name := range []string{"broken.yaml", "typo.yaml"} {
		a := &app{configFile: dir + "/" + name}
		want := a.configFile + " is not valid, and does not say the runtime_directory of its keepcast: name it with --runtime-directory\n"
		if _, _, err := a.inForce(withdrawal{}, func(string, ...any) {}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := (&app{configFile: defaultConfig}).glimpsedDir("runtime_directory"); got == "" {
		t.Error("the default file means no keepcast")
	}
}

// The socket of a running keepcast was gone: withdraw-all withdrew everything, said so, and
// keepcast announced it all again at once. The lock tells that it runs.
func TestWithdrawAllLocked(t *testing.T) {
	for name, tt := range map[string]struct {
		flags string
		hangs bool
		code  int
		errs  string
		gate  string
	}{
		"socket gone": {
			"", false, exitFailed,
			`keepcast: keepcast is running (pid PID holds the lock in DIR/runtime, though nobody answers at DIR/keepcast.sock) and would announce everything again: "keepcast drain --all", or stop it first; --force withdraws all the same` + "\n",
			"open",
		},
		"forced":   {"--force", false, exitOK, "", ""},
		"given up": {"--crashed", false, exitOK, "", ""},
		"hangs": {
			"", true, exitFailed,
			`keepcast: not everything may be withdrawn: keepcast runs, and does not answer (control socket DIR/keepcast.sock: Get "http://keepcast/v1/status": EOF): end pid PID, or it may announce everything again` + "\n", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, gated)
			dir := filepath.Dir(file)
			drivertest.WriteFile(t, dir+"/t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
			drivertest.WriteFile(t, dir+"/out", "open")
			lock, err := control.TakeLock(t.Context(), dir+"/runtime")
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Release()
			if tt.hangs {
				hangsUp(t, dir+"/keepcast.sock")
			}
			code, _, errs := keepcastSays(t, strings.Fields("withdraw-all -c "+file+" "+tt.flags)...)
			if want := strings.NewReplacer("DIR", dir, "PID", strconv.Itoa(os.Getpid())).Replace(tt.errs); code != tt.code || errs != want {
				t.Errorf("exit code %d, got %s, want %s", code, errs, want)
			}
			if got := drivertest.ReadFile(t, dir+"/out"); got != tt.gate {
				t.Errorf("the gate is %q, want %q", got, tt.gate)
			}
		})
	}
}

// Who withdraws while keepcast hangs is told which process that is, and how it was found out.
func TestWithdrawAllSilent(t *testing.T) {
	cfg := loaded(t, strings.Replace(gated, "DIR/t", "/etc/hostname", 1))
	l, err := net.Listen("unix", cfg.ControlSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lock, err := control.TakeLock(t.Context(), cfg.RuntimeDir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hangs, err := (&app{}).mustNotRun(ctx, cfg, withdrawal{})
	got := regexp.MustCompile(` for [0-9.]+m?s:`).ReplaceAllString(drivertest.ErrText(hangs), " for TIME:")
	want := fmt.Sprintf("keepcast (pid %d) does not answer on %s for TIME: it hangs, or was stopped: end pid %[1]d, or it may announce everything again", os.Getpid(), cfg.ControlSocket)
	if got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// hangsUp has somebody listen at a socket who answers nothing.
func hangsUp(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<16)) // the request, which is not answered
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
}

// A typo in the file of one instance had withdraw-all look at the runtime directory of
// another, and for a keepcast that runs at its socket.
func TestInForceGlimpsed(t *testing.T) {
	dir := drivertest.SocketDir(t)
	a := &app{configFile: dir + "/b.yaml"}
	drivertest.WriteFile(t, a.configFile, "runtime_directory: /run/b\ncontrol_socket: /run/b.sock\ninterface: b0\nmanage_addresses: false\nservices: [\n")
	cfg, unread, err := a.inForce(withdrawal{}, func(string, ...any) {})
	if unread != nil || err != nil || cfg.RuntimeDir != "/run/b" || cfg.ControlSocket != "/run/b.sock" || cfg.Interface != "b0" || cfg.ManageAddresses {
		t.Errorf("got %+v, %v", cfg.Main, err)
	}
}

// What still arrives is served as long as the flag says, else as for the service that
// takes longest.
func TestFailSafe(t *testing.T) {
	service := func(linger time.Duration) (s config.Service) { s.Linger = linger; return s }
	for name, tt := range map[string]struct {
		w      withdrawal
		linger time.Duration // of the configuration
		manage bool
		want   time.Duration
	}{
		"of a service":      {withdrawal{}, 5 * time.Second, true, 9 * time.Second},
		"of all":            {withdrawal{}, time.Minute, true, time.Minute},
		"by the flag":       {withdrawal{linger: time.Second, lingerSet: true}, time.Minute, true, time.Second},
		"none, by the flag": {withdrawal{lingerSet: true}, time.Minute, true, 0},
		"not our addresses": {withdrawal{}, time.Minute, false, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &config.Config{Services: []config.Service{service(2 * time.Second), service(9 * time.Second), service(time.Second)}}
			cfg.Linger, cfg.ManageAddresses = tt.linger, tt.manage
			f := tt.w.failSafe(cfg, slog.New(slog.DiscardHandler), nil)
			if f.Linger != tt.want || (f.Kernel != nil) != tt.manage {
				t.Errorf("linger %s, want %s; with the kernel: %v", f.Linger, tt.want, f.Kernel != nil)
			}
		})
	}
}

// Root, who withdrew what was left, ran the reload command of a config.yaml that another
// user had put into the runtime directory.
func TestWithdrawAllTrusts(t *testing.T) {
	drivertest.NeedsRoot(t, "to give files away")
	const why = "user nobody owns it, and keepcast would do what that user says: chown root "
	for name, tt := range map[string]struct{ stranger, want string }{
		"the file": {"runtime/config.yaml", "DIR/runtime/config.yaml: " + why + "DIR/runtime/config.yaml"},
		"the directory": {"runtime", "DIR/runtime: " + why + "DIR/runtime\n" +
			"saved state not believed: DIR/runtime: " + why + "DIR/runtime (going by the configuration and the kernel alone)"},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, gated)
			dir := filepath.Dir(file)
			drivertest.WriteFile(t, dir+"/t", "")
			drivertest.WriteFile(t, dir+"/out", "open")
			if err := os.Mkdir(dir+"/runtime", 0o755); err != nil {
				t.Fatal(err)
			}
			evil := strings.ReplaceAll(gated, `reload: ["true"]`, "reload: [touch, DIR/ran]")
			drivertest.WriteFile(t, dir+"/runtime/config.yaml", strings.ReplaceAll(evil, "DIR", dir))
			if err := os.Chown(filepath.Join(dir, tt.stranger), 65534, 0); err != nil {
				t.Fatal(err)
			}
			code, out, errs := keepcastSays(t, "withdraw-all", "-c", file)
			want := "keepcast: not everything may be withdrawn: what was in force last: " + tt.want + "\n"
			if got := strings.ReplaceAll(errs, dir, "DIR"); code != exitFailed || got != want {
				t.Errorf("exit code %d, got %s, want %s", code, got, want)
			}
			if want := "going by " + file + "\nfile: the gate is closed\n"; out != want {
				t.Errorf("got %s, want %s", out, want)
			}
			if _, err := os.Stat(dir + "/ran"); err == nil {
				t.Error("the command of another user ran")
			}
		})
	}
}
