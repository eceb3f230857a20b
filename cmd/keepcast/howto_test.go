package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHowTosAreListed holds the list of the how-tos to the pages that there are.
func TestHowTosAreListed(t *testing.T) {
	list, err := os.ReadFile(filepath.Join(docs, "howto", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(docs, "howto", "*.md"))
	if err != nil || len(all) < 2 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		if name := filepath.Base(path); name != "README.md" && !strings.Contains(string(list), "]("+name+")") {
			t.Errorf("docs/howto/README.md does not link %s", name)
		}
	}
}
