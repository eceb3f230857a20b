package config

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
	const file, hang = "k.yaml: drain_directory: /d is a file", ": no answer within 2s: the file system hangs"
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

// Host hangs.
func (h hangingEntry) Host() ([]string, error) {
	h.looks.Add(1)
	<-h.release
	return nil, nil
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
