package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// orders is what a terminal obeys in place of showing it: a title, a color in C0 and in C1,
// a line that is written backwards, an end of line that hides what stands before it, a
// tag that nobody sees, and bytes that are no UTF-8.
const orders = "a\x1b]0;mine\a \u009b31m \u202eb\u2066 \x7f\x00 x\ry \U000e0041 \v\f end"

// obeyed finds what a terminal would obey.
var obeyed = regexp.MustCompile("[^\n\t\\PC]|[\u2028\u2029]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

// harmless fails if text would do anything to a terminal.
func harmless(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("no UTF-8: %q", text)
	}
	if found := obeyed.FindAllString(text, -1); found != nil {
		t.Errorf("%q are obeyed: %q", found, text)
	}
}

// hostile is the status of a host on which others had their say.
func hostile() api.Status {
	s := busy()
	s.Config.Error = orders
	s.Services[1].Reason = "drained: " + orders
	s.Services[0].Checks = []api.CheckStatus{{Name: "a", Verdict: health.Down, Error: orders}}
	s.Drivers[2].Error = orders
	s.Drivers[2].Findings = []driver.Finding{{Name: "refused", Level: driver.LevelError, Subject: orders, Text: orders, Fix: orders}}
	return s
}

// Reasons of drains, errors of daemons and checks, names of files and values of the
// configuration went raw to the terminal of whoever looked: they could retitle it,
// rewrite what stood there, and put words into it.
func TestPrintsNoOrders(t *testing.T) {
	dir := drivertest.SocketDir(t)
	drivertest.WriteFile(t, filepath.Join(dir, "a\x1b[2J.yaml"), `listen: "\e[31m\x9b"`+"\nlog_level: \"\\u202e\"\n")
	drivertest.WriteFile(t, filepath.Join(dir, "probe.yaml"), `services: [{name: dns, addresses: [192.0.2.1], checks: [{kind: exec, command: [sh, -c, 'printf "\033[2J\007\302\233\233"; exit 1']}]}]`)
	socket := answers(t, &fakeEngine{status: hostile()})
	refuses := answers(t, &fakeEngine{err: errors.New(orders)})
	for line, want := range map[string]string{
		"status --socket " + socket:               `a\u001b]0;mine\u0007 \u009b31m \u202eb\u2066 \u007f\u0000 x\u000dy \udb40\udc41    end`,
		"status -o json --socket " + socket:       `"a\u001b]0;mine\u0007 \u009b31m \u202eb\u2066 \u007f\u0000 x\ry \udb40\udc41 \u000b\f end"`,
		"status -o yaml --socket " + socket:       `"drained: a\e]0;mine\a \x9B31m \u202eb\u2066 \x7F\0 x\ry \U000E0041 \v\f end"`,
		"drain web --socket " + socket:            `web: withdrawn (drained: a\u001b]0;mine\u0007`,
		"resume web --socket " + socket:           `\u202e`,
		"drain web --socket " + refuses:           `\u001b]0;mine\u0007`,
		"reload --socket " + refuses:              `\u001b]0;mine\u0007`,
		"status --socket " + dir + "/\x1b[2J":     `/\u001b[2J`,
		"validate -c " + dir + "/a\x1b[2J.yaml":   `a\u001b[2J.yaml:2:1: log_level: "\u202e" is none of `,
		"doctor -c " + dir + "/a\x1b[2J.yaml":     `a\u001b[2J.yaml:2:1: log_level: "\u202e" is none of `,
		"probe -c " + dir + "/probe.yaml":         `[2J`,
		"probe \x1b[2J -c " + dir + "/probe.yaml": `"\x1b[2J"`,
		"nothing\x1b[2J":                          `[2J`,
	} {
		t.Run(strings.ReplaceAll(line, dir, "DIR"), func(t *testing.T) {
			_, out, errs := keepcastSays(t, strings.Split(line, " ")...)
			harmless(t, out)
			harmless(t, errs)
			has(t, out+errs, want)
		})
	}
}

// What scripts read is the same to them, escaped or not.
func TestEscapedIsTheSameToScripts(t *testing.T) {
	socket := answers(t, &fakeEngine{status: hostile()})
	for format, decode := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		_, out, _ := keepcastSays(t, "status", "-o", format, "--socket", socket)
		var got struct {
			Services []struct{ Reason string }
		}
		if err := decode([]byte(out), &got); err != nil {
			t.Errorf("%s: %v: %s", format, err, out)
		} else if want := "drained: " + orders; got.Services[1].Reason != want {
			t.Errorf("%s: got %q, want %q", format, got.Services[1].Reason, want)
		}
	}
}

// A snippet that is rendered into a file is the one that the daemon gets.
func TestRenderIsExact(t *testing.T) {
	file := written(t, gated)
	const text = "# \x1b[0m made elsewhere\r\n"
	drivertest.WriteFile(t, filepath.Dir(file)+"/t", text)
	if _, got, errs := keepcastSays(t, "render", "file", "-c", file); got != text {
		t.Errorf("got %q, %s", got, errs)
	}
}

// A snippet is shown escaped where somebody looks, and goes into a file byte for byte.
func TestFileOrTerminal(t *testing.T) {
	for path, shown := range map[string]bool{os.DevNull: true, filepath.Join(t.TempDir(), "bird.conf"): false} {
		f, err := os.Create(path) // the one is a character device, as a terminal is
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e := &escaped{out: f}
		if got := e.file() == io.Writer(e); got != shown {
			t.Errorf("%s: escaped: %v", path, got)
		}
	}
}

// What is cut off at the end is shown once, and a command fails if that can't be. One that
// prints nothing does not fail because nothing can be printed.
func TestFlush(t *testing.T) {
	var b bytes.Buffer
	e := &escaped{out: &b}
	for range 2 {
		if err := e.flush(); err != nil {
			t.Error(err)
		}
	}
	if n, err := e.Write([]byte("a\xc3")); n != 2 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	for range 2 {
		if err := e.flush(); err != nil || b.String() != `a\xc3` {
			t.Errorf("got %q, %v", b.String(), err)
		}
	}
	if err := (&escaped{out: full{}}).flush(); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := (&escaped{out: full{}, cut: []byte("\xc3")}).flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// The log quotes by itself what a terminal would obey.
func TestLogGivesNoOrders(t *testing.T) {
	var b bytes.Buffer
	newLogger(&b, slog.LevelInfo).Error(orders, "err", errors.New(orders), "user", orders+"\xff\x9b")
	harmless(t, b.String())
}

// Nothing that is printed gives orders, in however many pieces. Text stays as it is. JSON
// and YAML mean the same.
func FuzzEscape(f *testing.F) {
	f.Add(orders, 3)
	f.Add("grüße 世界 🎉\t1\n", 5)
	f.Add("\xff\xc3\xe2\x82", 1)
	f.Add("ü🎉", 1)
	f.Fuzz(func(t *testing.T, text string, piece int) {
		print := func(text []byte, piece int) string {
			var b bytes.Buffer
			e := &escaped{out: &b}
			for len(text) > 0 {
				n := min(max(piece, 1), len(text))
				if wrote, err := e.Write(text[:n]); wrote != n || err != nil {
					t.Fatal(wrote, err)
				}
				text = text[n:]
			}
			if err := e.flush(); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		got := print([]byte(text), piece)
		harmless(t, got)
		if again := print([]byte(got), piece); again != got {
			t.Errorf("%q is escaped again: %q", got, again)
		}
		if whole := print([]byte(text), len(text)); whole != got {
			t.Errorf("in pieces %q, whole %q", got, whole)
		}
		for name, format := range map[string]struct {
			encode func(io.Writer, api.Status) error
			decode func([]byte, any) error
		}{"JSON": {asJSON[api.Status], json.Unmarshal}, "YAML": {asYAML[api.Status], yaml.Unmarshal}} {
			var b bytes.Buffer
			if err := format.encode(&b, api.Status{Version: text}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var back struct{ Version string }
			if err := format.decode([]byte(print(b.Bytes(), piece)), &back); err != nil || back.Version != text && utf8.ValidString(text) {
				t.Errorf("%q as %s: %q, %v", text, name, back.Version, err)
			}
		}
	})
}
