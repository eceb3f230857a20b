package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// glossaryRow is a row of docs/glossary.md: the word, its meaning, and the words that
// are not used for it.
var glossaryRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \| ([^|]*)\|$`)

// banned returns what matches the words of the glossary's last column, and the word of
// each in its place.
func banned(t *testing.T) (*regexp.Regexp, map[string]string) {
	t.Helper()
	text, err := os.ReadFile(docs + "/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	instead := map[string]string{}
	var words []string
	for _, row := range glossaryRow.FindAllStringSubmatch(string(text), -1) {
		for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(row[3], -1) {
			word := strings.Trim(quoted, "`")
			instead[word] = row[1]
			words = append(words, regexp.QuoteMeta(word))
		}
	}
	if len(words) < 5 {
		t.Fatalf("only %d words are banned: has the form of the glossary changed?", len(words))
	}
	return regexp.MustCompile(`(?i)\b(?:` + strings.Join(words, "|") + `)\b`), instead
}

// TestWords holds the documentation, most of which is generated, to the glossary.
func TestWords(t *testing.T) {
	words, instead := banned(t)
	for _, path := range append(pages(t), "../../packaging/keepcast.yaml", "../../packaging/prometheus/alerts.yaml") {
		if filepath.Base(path) == "glossary.md" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, word := range words.FindAllString(line, -1) {
				t.Errorf("%s:%d: %q: the glossary has %q for it", path, i+1, word, instead[strings.ToLower(word)])
			}
		}
	}
}

// TestLinks holds the links between the pages to files that are there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s#:]+)(?:#[^)\s]*)?\)`)
	for _, path := range pages(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", path, err)
			}
		}
	}
}

// pages returns the pages of the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	out := []string{docs + "/../README.md", docs + "/../CHANGELOG.md"}
	err := filepath.WalkDir(docs, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
