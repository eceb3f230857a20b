package config

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// With a directory of the configuration that hung, validate, reload and start hung for ever
// where they listed the drop-ins, and a start did not even go on with the last good one.
func TestConfigurationHangs(t *testing.T) {
	hung, _ := drivertest.HangingDir(t)
	main := files(t, minimal+"-- conf.d/a.yaml --\nlinger: 3s\n")
	linked := filepath.Join(filepath.Dir(main), "conf.d", "b.yaml")
	if err := os.Symlink(hung+"/b.yaml", linked); err != nil {
		t.Fatal(err)
	}
	all := "drop-ins: " + hung + "/conf.d: " + pace.ErrHangs.Error()
	one := "configuration: " + linked + ": " + pace.ErrHangs.Error()
	for name, tt := range map[string]struct {
		load func(string) (*Config, error)
		main string
		want string
	}{
		"start":                         {Load, hung + "/keepcast.yaml", all},
		"validate and reload":           {LoadStrict, hung + "/keepcast.yaml", all},
		"validate offline":              {LoadOffline, hung + "/keepcast.yaml", all},
		"a drop-in that is a link":      {Load, main, one},
		"the same for who asks for one": {glimpse, main, "nothing found"},
		"glimpse":                       {glimpse, hung + "/keepcast.yaml", "nothing found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for seconds
			if _, err := tt.load(tt.main); drivertest.ErrText(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// glimpse is Glimpse of a setting.
func glimpse(main string) (*Config, error) {
	if _, found := Glimpse(main, "linger"); !found {
		return nil, errors.New("nothing found")
	}
	return nil, nil //nolint:nilnil // it loads nothing
}

// A start waited two seconds for each directory that hung, one after the other, and systemd
// gave it up before it announced anything. It is not told, unlike who validates, and goes on.
func TestHangingDirectoriesSideBySide(t *testing.T) {
	const file, hang = "k.yaml: drain_directory: /d is a file", ": no answer within 2s: the file system hangs, or the host is very busy"
	for strict, want := range map[bool]string{
		false: file,
		true: "k.yaml: runtime_directory: /r" + hang + "\nk.yaml: state_directory: /s" + hang +
			"\nk.yaml: template_directory: /t" + hang + "\n" + file,
	} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			hangs := func() string {
				<-release
				return "is a file"
			}
			l := &loader{files: []string{"k.yaml"}, strict: strict}
			began := time.Now()
			for range 2 { // what hung is not looked at again
				l.lookAt([]look{
					{"runtime_directory", "/r", hangs},
					{"state_directory", "/s", hangs},
					{"template_directory", "/t", hangs},
					{"template_directory", "/t/x", hangs},
					{"drain_directory", "/d", func() string { return "/d is a file" }},
				})
			}
			if took := time.Since(began); took != pace.Patience {
				t.Errorf("strict %t: it took %s", strict, took)
			}
			if got := l.faults.Error(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			close(release)
		})
	}
}

// hangingEntry is a check whose program is on a file system that hangs.
type hangingEntry struct {
	looks   *atomic.Int64
	release chan struct{}
}

// Host returns a look that hangs.
func (h hangingEntry) Host() func() ([]string, error) {
	return func() ([]string, error) {
		h.looks.Add(1)
		<-h.release
		return nil, nil
	}
}

// A reload waited two seconds for the program of each check, for minutes with many of them.
func TestHangingProgramsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		entry := hangingEntry{&looks, make(chan struct{})}
		l := &loader{files: []string{"k.yaml"}, strict: true}
		began := time.Now()
		for _, path := range []string{"services[a].checks[x]", "services[b].checks[x]", "drivers[d]"} {
			l.needs(path, entry)
		}
		if took := time.Since(began); took != pace.Patience || looks.Load() != 1 {
			t.Errorf("%d looks took %s", looks.Load(), took)
		}
		if got, want := l.faults.Error(), "k.yaml: services[a].checks[x]: "+pace.ErrHangs.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		close(entry.release)
	})
}

// A reload was refused on a busy host, since the file system of a plain http check hung that
// names no file: before its limit was over, the certificates of the system were not all read.
func TestNothingNamedIsNotLookedAt(t *testing.T) {
	dir := t.TempDir()
	certificates := filepath.Join(dir, "certificates")
	if err := unix.Mkfifo(certificates, 0o600); err != nil { // who reads it waits for ever
		t.Fatal(err)
	}
	// The library reads them once for all, and other tests may have had it do so.
	other := exec.Command("/proc/self/exe", "-test.run=^TestNothingNamedElsewhere$")
	other.Env = append(os.Environ(), "KEEPCAST_NOTHING_NAMED=yes", "SSL_CERT_FILE="+certificates, "SSL_CERT_DIR="+dir+"/none")
	if out, err := other.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v\n%s", err, out)
	}
	l := &loader{files: []string{"k.yaml"}, strict: true}
	l.lookAt([]look{{"drain_directory", "", func() string { return "is looked at" }}})
	if got := l.faults; got != nil {
		t.Errorf("no directory: %v", got)
	}
}

// TestNothingNamedElsewhere is the part of TestNothingNamedIsNotLookedAt in a process of its own.
func TestNothingNamedElsewhere(t *testing.T) {
	if os.Getenv("KEEPCAST_NOTHING_NAMED") == "" {
		t.Skip("part of TestNothingNamedIsNotLookedAt")
	}
	_, faults := loadIn(t, `services:
- name: a
  addresses: [192.0.2.1]
  checks:
  - {name: plain, kind: http, url: 'http://127.0.0.1/'}
  - {name: secure, kind: http, url: 'https://127.0.0.1/', tls: {insecure_skip_verify: false, server_name: a}}
  - {name: port, kind: tcp, address: '127.0.0.1:1'}
  - {name: answers, kind: dns, server: 127.0.0.1, query: a}
`)
	if faults != "" {
		t.Error(faults)
	}
}
