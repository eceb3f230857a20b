package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

var manDir = flag.String("man", "", "write the manual pages into this directory")

// TestManual makes the manual pages, one per command and keepcast.yaml(5), from
// what the reference pages are made of; packaging/stage keeps them. groff reads them all.
func TestManual(t *testing.T) {
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	date := manualDate(t)
	root := newRoot()
	root.InitDefaultCompletionCmd()
	quiet(root)
	header := &doc.GenManHeader{Section: "1", Source: "keepcast", Manual: "User Commands", Date: &date}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%% \"KEEPCAST.YAML\" \"5\" %q \"keepcast\" \"File Formats\"\n\n# NAME\nkeepcast.yaml - what keepcast announces, and when\n\n", date.Format("Jan 2006")) +
		forMan(config.Reference()) + "\n# SEE ALSO\n**keepcast(1)**, **keepcast-validate(1)**\n"
	if err := os.WriteFile(filepath.Join(dir, "keepcast.yaml.5"), md2man.Render([]byte(text)), 0o644); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	if err != nil || len(pages) < len(root.Commands()) {
		t.Fatal(pages, err)
	}
	groff := drivertest.Program(t, "groff")
	for _, page := range pages {
		if out, err := exec.Command(groff, "-man", "-t", "-Tutf8", "-ww", "-z", page).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}

// manualDate is SOURCE_DATE_EPOCH, for pages that come out the same each time.
func manualDate(t *testing.T) time.Time {
	t.Helper()
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now().UTC()
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, 0).UTC()
}

// quiet leaves out the line that names the generator.
func quiet(c *cobra.Command) {
	c.DisableAutoGenTag = true
	for _, sub := range c.Commands() {
		quiet(sub)
	}
}

// forMan makes of a reference page what a manual page can show: a list of terms
// of each table, which would be too wide, and headings of its own level.
func forMan(page string) string {
	var out strings.Builder
	table := false
	for line := range strings.SplitSeq(page, "\n") {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|")
		switch {
		case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "<!--"):
			if strings.HasPrefix(line, "# ") {
				out.WriteString("# DESCRIPTION\n")
			}
		case strings.HasPrefix(line, "## "):
			out.WriteString("# " + strings.ToUpper(strings.ReplaceAll(line[3:], "`", "")) + "\n")
		case strings.HasPrefix(line, "|---"):
			table = true
		case strings.HasPrefix(line, "|") && table:
			out.WriteString(term(cells) + "\n")
		case strings.HasPrefix(line, "|"): // the head of a table
		default:
			table = false
			out.WriteString(line + "\n")
		}
	}
	return strings.ReplaceAll(out.String(), "\x00", "|")
}

// term is one row of a table: a setting, its type and default, what it means.
func term(cells []string) string {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	last := len(cells) - 1
	name := "**" + strings.Trim(cells[0], "`") + "**"
	about := cells[1:last]
	if len(about) > 1 && strings.HasPrefix(about[1], "`") {
		about[1] = "default " + about[1]
	}
	if s := strings.TrimRight(strings.Join(about, ", "), ", "); s != "" {
		name += " (" + s + ")"
	}
	return name + "\n: " + cells[last] + "\n"
}
