package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSBOM describes the binary of this very test, which links go-cmp or not:
// what matters is that all its parts are named once, and related.
func TestSBOM(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	if err := run(&one, "1.2.3", path); err != nil {
		t.Fatal(err)
	}
	if err := run(&two, "1.2.3", path); err != nil || one.String() != two.String() {
		t.Errorf("two runs differ (%v)", err)
	}
	var d document
	if err := json.Unmarshal(one.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != "SPDX-2.3" || d.License != "CC0-1.0" || d.Creation.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("head: %+v", d)
	}
	if !regexp.MustCompile(`^https://github.com/keepcast/keepcast/spdx/1\.2\.3-[0-9a-f]{64}$`).MatchString(d.Namespace) {
		t.Errorf("namespace %s", d.Namespace)
	}
	ids := map[string]bool{d.ID: true}
	valid := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	for _, p := range d.Packages {
		if ids[p.ID] || !valid.MatchString(p.ID) || p.Version == "" || p.Location == "" || !strings.HasPrefix(p.Refs[0].Locator, "pkg:golang/") {
			t.Errorf("package %+v", p)
		}
		ids[p.ID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("relationship of nothing: %+v", r)
		}
	}
	if !slices.ContainsFunc(d.Packages, func(p pkg) bool { return p.Name == "stdlib" }) || len(d.Relationships) != len(d.Packages) {
		t.Errorf("%d packages, %d relationships", len(d.Packages), len(d.Relationships))
	}
}

func TestNoBinary(t *testing.T) {
	if err := run(&bytes.Buffer{}, "1", "main.go"); err == nil || !strings.Contains(err.Error(), "main.go: unrecognized file format") {
		t.Error(err)
	}
}
