// Sbom prints the bill of materials of a Go binary, of what is really linked into
// it, as SPDX 2.3 in JSON.
//
//	go run ./cmd/keepcast/internal/sbom VERSION BINARY
//
// SOURCE_DATE_EPOCH, if set, is the time of creation.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom VERSION BINARY")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, version, path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path) //nolint:gosec // whoever builds names the binary
	if err != nil {
		return err
	}
	created := time.Now()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		created = time.Unix(seconds, 0)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(describe(info, version, sha256.Sum256(text), created))
}

// document is an SPDX document, section 6 of the specification 2.3.
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []pkg          `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// pkg is a package, section 7.
type pkg struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"name"`
	Version   string     `json:"versionInfo"`
	Location  string     `json:"downloadLocation"`
	Analyzed  bool       `json:"filesAnalyzed"`
	Concluded string     `json:"licenseConcluded"`
	Declared  string     `json:"licenseDeclared"`
	Copyright string     `json:"copyrightText"`
	Purpose   string     `json:"primaryPackagePurpose"`
	Checksums []checksum `json:"checksums,omitempty"`
	Refs      []ref      `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type ref struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// relationship is one between elements, section 11.
type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// describe lists the program, the modules in it and Go's standard library.
func describe(info *debug.BuildInfo, version string, sum [sha256.Size]byte, created time.Time) document {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	name := filepath.Base(info.Path)
	hash := hex.EncodeToString(sum[:])
	program := library(info.Main.Path, version, "pkg:golang/"+info.Main.Path+"@"+version)
	program.ID, program.Name, program.Purpose = "SPDXRef-"+name, name, "APPLICATION"
	program.Concluded, program.Declared = "Apache-2.0", "Apache-2.0"
	program.Checksums = []checksum{{"SHA256", hash}}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name:      fmt.Sprintf("%s %s %s", name, version, settings["GOARCH"]),
		Namespace: fmt.Sprintf("https://%s/spdx/%s-%s", info.Main.Path, version, hash),
		Creation:  creation{created.UTC().Format(time.RFC3339), []string{"Tool: keepcast-sbom-" + version}},
		Packages:  []pkg{program},
		Relationships: []relationship{
			{"SPDXRef-DOCUMENT", "DESCRIBES", program.ID},
		},
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	parts := []pkg{library("stdlib", goVersion, "pkg:golang/stdlib@"+goVersion)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, library(m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version))
	}
	for _, p := range parts {
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, relationship{program.ID, "DEPENDS_ON", p.ID})
	}
	return d
}

// library is a package of which no more is known than where it comes from.
func library(path, version, purl string) pkg {
	return pkg{
		ID: "SPDXRef-" + identifier(path), Name: path, Version: version,
		Location: "NOASSERTION", Concluded: "NOASSERTION", Declared: "NOASSERTION", Copyright: "NOASSERTION", Purpose: "LIBRARY",
		Refs: []ref{{"PACKAGE-MANAGER", "purl", purl}},
	}
}

// identifier makes of a path what an SPDX identifier may hold: letters, digits,
// dots and dashes (section 3.2).
func identifier(path string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, path)
}
