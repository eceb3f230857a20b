package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// That by command comes first, for its reason. One that is over counts for nothing.
func TestActiveDrain(t *testing.T) {
	now := time.Now()
	over, lasting, file := api.Drain{Reason: "over", Until: now}, api.Drain{Reason: "lasting", Until: now.Add(1)}, api.Drain{Reason: "file"}
	for name, tc := range map[string]struct {
		commanded, files []api.Drain
		want             string
	}{
		"none":             {nil, nil, ""},
		"command":          {[]api.Drain{lasting}, nil, "lasting"},
		"command and file": {[]api.Drain{lasting}, []api.Drain{file}, "lasting"},
		"file":             {nil, []api.Drain{file}, "file"},
		"command is over":  {[]api.Drain{over}, []api.Drain{file}, "file"},
		"over":             {[]api.Drain{over}, nil, ""},
	} {
		d := drains{commanded: map[string]order{}, files: map[string]api.Drain{"other": file}}
		for _, c := range tc.commanded {
			d.commanded["dns"] = order{Drain: c}
		}
		for _, f := range tc.files {
			d.files["dns"] = f
		}
		got := ""
		if active := d.active("dns", now); active != nil {
			got = active.Reason
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// damaged are drains.json that can't be read, by what is wrong with them.
var damaged = map[string]func(path string) error{
	"cut off": func(path string) error {
		return os.WriteFile(path, []byte(`[{"service": "dns", "since": "1999-12-31T1`), 0o600)
	},
	"empty":  func(path string) error { return os.WriteFile(path, nil, 0o600) },
	"binary": func(path string) error { return os.WriteFile(path, []byte("\x7fELF\x02\x01\x00"), 0o600) },
	"newer": func(path string) error {
		return (&store.Document[string]{Path: path, Version: 2}).Save("of another form")
	},
	"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"directory": func(path string) error { return os.Mkdir(path, 0o700) },
}

// With saved drains that could not be read, services came back that an operator had
// drained, and the next drain overwrote the file. Now what the host does not announce
// stays withdrawn, over restarts, until an operator resumes it; what it announces stays.
func TestDrainsUnreadable(t *testing.T) {
	for name, damage := range damaged {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			b.service("ldap", "192.0.2.54/32")
			b.service("web", "192.0.2.55/32")
			b.keep = true
			b.kernel.have[netip.MustParsePrefix("192.0.2.55/32")] = driver.Announced
			path := drainsDocument(b.cfg.StateDir).Path
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			reason := "drained: saved drains unreadable (" + path + "): keepcast resume when it may come back"
			const finding = ": the saved drains could not be read, so what was not announced stays withdrawn: "
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(time.Minute)
				b.want("dns", api.Withdrawn, reason)
				b.want("ldap", api.Withdrawn, reason)
				b.want("web", api.Announced, "all checks up")
				b.wantFindings("error " + path + " (drains-unreadable)" + finding + "dns, ldap")
				b.wantLog(1, `level=ERROR msg="saved drains unreadable: services that the host does not announce stay withdrawn until keepcast resume"`)
				if aside, err := os.Lstat(path + ".bad"); err != nil || !os.SameFile(aside, before) {
					t.Errorf("the bad file is not kept: %v", err)
				}
				if err := b.engine.Resume([]string{"dns"}); err != nil {
					t.Error(err)
				}
				b.want("dns", api.Announced, "all checks up")
				b.end()
				b.start()
				later(time.Minute)
				b.want("dns", api.Announced, "all checks up")
				b.want("ldap", api.Withdrawn, reason)
				b.wantFindings("error " + path + " (drains-unreadable)" + finding + "ldap")
				if err := b.engine.Resume(nil); err != nil {
					t.Error(err)
				}
				b.want("ldap", api.Announced, "all checks up")
				b.wantFindings()
				b.end()
			})
		})
	}
}

// With a good copy nothing is lost: the drains are those that were ordered.
func TestDrainsByTheCopy(t *testing.T) {
	for name, damage := range damaged {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			b.service("ldap", "192.0.2.54/32")
			b.keep = true
			path := drainsDocument(b.cfg.StateDir).Path
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(time.Second)
				if err := b.engine.Drain([]string{"dns"}, time.Time{}, "CHG-1", ""); err != nil {
					t.Fatal(err)
				}
				b.end()
				if err := errors.Join(os.Remove(path), os.Rename(store.CopyOf(path), path+".kept"), damage(path)); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.RemoveAll(store.CopyOf(path)), os.Rename(path+".kept", store.CopyOf(path))); err != nil {
					t.Fatal(err)
				}
				b.start()
				later(time.Minute)
				b.want("dns", api.Withdrawn, "drained: CHG-1")
				b.want("ldap", api.Announced, "all checks up")
				b.wantLog(1, `level=ERROR msg="saved drains damaged" err="`+path+": ")
				b.end()
			})
		})
	}
}

// A drain file for no service, a typing error perhaps, or a directory of a service's name
// drained nothing, and said nothing. Now each is logged once, and shown.
func TestDrainFilesThatDrainNothing(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	dir := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(dir, "dsn"), "")
	drivertest.WriteFile(t, filepath.Join(dir, "ldap"), "")
	if err := os.Mkdir(filepath.Join(dir, "dns"), 0o700); err != nil {
		t.Fatal(err)
	}
	look := func() {
		b.engine.drainFiles(readDrainDir(dir))
		later(time.Minute)
	}
	directory := "warning " + dir + "/dns (drain-file): it drains nothing: it is a directory, not a file"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.wantFindings()
		b.cfg.DrainDir = dir // the loop sleeps; a watch of files would keep the clock of the bubble from moving
		for range 3 {
			look()
		}
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Withdrawn, "drained by "+dir+"/ldap")
		b.wantFindings(directory, "warning "+dir+"/dsn (drain-file): it drains nothing: no service has this name")
		b.wantLog(1, `level=WARN msg="drains nothing" file=`+dir+`/dns reason="it is a directory, not a file"`)
		b.wantLog(1, `level=WARN msg="drains nothing" file=`+dir+`/dsn reason="no service has this name"`)
		b.reload(func(c *config.Config) {
			s := c.Services[0]
			s.Name, s.Addresses = "dsn", []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.56/32")}}
			c.Services = append(c.Services, s)
		})
		b.wantFindings(directory)
		for _, name := range []string{"dsn", "ldap", "dns"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		look()
		b.wantFindings()
		b.end()
	})
}

// A drained service came back when it was renamed: after the next restart, or at once when
// it was renamed while keepcast did not run.
func TestDrainFollowsRename(t *testing.T) {
	for name, running := range map[string]bool{"by a reload": true, "by a restart": false} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			b.service("ldap", "192.0.2.54/32")
			b.keep = true
			rename := func(c *config.Config) {
				c.Services[0].Name = "resolver"
			}
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(time.Second)
				if err := b.engine.Drain([]string{"dns"}, time.Time{}, "CHG-1", ""); err != nil {
					t.Fatal(err)
				}
				later(time.Minute)
				if running {
					b.reload(rename)
					b.want("resolver", api.Withdrawn, "drained: CHG-1")
				}
				b.end()
				b.cfg = copied(b.cfg)
				rename(b.cfg)
				for range 2 {
					b.start()
					later(time.Minute)
					b.want("resolver", api.Withdrawn, "drained: CHG-1")
					b.want("ldap", api.Announced, "all checks up")
					b.end()
				}
			})
		})
	}
}

// A disk that was only slow at the start, as many are after a reboot, kept all services of
// the host withdrawn until an operator came. Now its drains count once it answers, but for
// those that a command has changed since.
func TestDrainsOfSlowDisk(t *testing.T) {
	late := []order{{Drain: api.Drain{Service: "dns", Reason: "CHG-1"}}, {Drain: api.Drain{Service: "ldap", Reason: "CHG-2"}}}
	const unknown = "saved drains unreadable (%s): keepcast resume when it may come back"
	for name, tc := range map[string]struct {
		err  error
		read int
		want map[string]string // reasons
	}{
		"it answers": {nil, 1, map[string]string{"dns": "CHG-1", "web": "CHG-3"}},
		"of no use":  {errors.New("is cut off"), 0, map[string]string{"dns": unknown, "ntp": unknown, "web": "CHG-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			for i, name := range []string{"dns", "ldap", "ntp", "web"} {
				b.service(name, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32).String())
			}
			b.savesDrains(late...)
			b.create()
			e := b.engine
			if err := e.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.drains.commanded = map[string]order{}
			e.holdBack(fmt.Errorf("drains.json: %w", pace.ErrHangs), nil, time.Now())
			if len(e.drains.commanded) != 4 {
				t.Errorf("held back are %v", e.drains.commanded)
			}
			stopped, stop := context.WithCancel(t.Context())
			stop()
			saved := func() map[string]string {
				e.disk.run(stopped)
				out := map[string]string{}
				kept, err := loadDrains(b.cfg.StateDir)
				if err != nil {
					t.Error(err)
				}
				for name, d := range kept {
					out[name] = d.Reason
				}
				return out
			}
			if diff := cmp.Diff(map[string]string{"dns": "CHG-1", "ldap": "CHG-2"}, saved()); diff != "" {
				t.Errorf("while it hangs:\n%s", diff)
			}
			e.drains.ordered = map[string]bool{"ldap": true, "web": true} // one resumed, the other drained
			delete(e.drains.commanded, "ldap")
			e.drains.commanded["web"] = order{Drain: api.Drain{Service: "web", Reason: "CHG-3"}}
			e.undecided = false
			e.takeLateDrains(slices.Clone(late), nil, tc.err)
			b.wantLog(tc.read, `msg="saved drains read at last" drains=2`)
			b.wantLog(1-tc.read, `msg="saved drains unreadable" err="is cut off"`)
			if e.undecided != (tc.read == 1) || len(e.found) != 1-tc.read {
				t.Errorf("to be decided: %v, found %v", e.undecided, e.found)
			}
			for name, reason := range tc.want {
				tc.want[name] = strings.Replace(reason, "%s", e.disk.savedDrains.Path, 1)
			}
			if diff := cmp.Diff(tc.want, saved()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
