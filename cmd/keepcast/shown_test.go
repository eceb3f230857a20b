package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/lab"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// shown matches what a page shows of a file, or of what the lab runs:
//
//	<!-- show: frr bgp -->  or  <!-- show: packaging/examples/gobgp.yaml -->
//	```
//	...
//	```
var shown = regexp.MustCompile("(?m)^<!-- show: (.+) -->\n```.*\n((?:.*\n)*?)```$")

// TestShown fails when a page does not show what the lab runs, so that each
// configuration in the how-tos is one that was tested. "make docs" puts it right.
func TestShown(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(docs, "*", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		have, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		want := shown.ReplaceAllStringFunc(string(have), func(block string) string {
			at := shown.FindStringSubmatchIndex(block)
			return block[:at[4]] + source(t, block[at[2]:at[3]]) + block[at[5]:]
		})
		if *drivertest.Update && want != string(have) {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if want != string(have) {
			t.Errorf("%s shows something else than the lab runs: run \"make docs\"", page)
		}
	}
}

// source returns what a page is to show: "DAEMON PROTOCOL" is the host's
// configuration, "DAEMON PROTOCOL keepcast" keepcast's, else it is a file.
func source(t *testing.T, what string) string {
	t.Helper()
	words := strings.Fields(what)
	if len(words) == 1 {
		text, err := os.ReadFile(filepath.Join("..", "..", what))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if len(words) == 3 {
		return "drivers:\n  - " + lab.DriverConfig(words[0], words[1]) + "\n"
	}
	text, err := lab.HostConfig(words[0], words[1])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(text, "\n") + "\n"
}
