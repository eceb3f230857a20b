// Package templates renders the snippets that keepcast loads into the routing
// daemons. Each template is embedded; a file of the same name in the operator's
// template directory is used in its place.
package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"text/template"

	"github.com/keepcast/keepcast/driver/trust"
)

//go:embed *.tmpl
var embedded embed.FS

// Render executes the template name (such as bird.conf.tmpl) on data. A file of
// that name in dir comes before the embedded one.
func Render(dir, name string, data any) ([]byte, error) {
	text, from, err := source(dir, name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return Execute(from, text, data)
}

// Has reports whether there is an embedded template of that name.
func Has(name string) bool {
	_, err := embedded.ReadFile(name)
	return err == nil
}

// Execute parses text as a template and executes it on data; from names the
// file in errors. A key or method that data does not have is an error.
func Execute(from, text string, data any) ([]byte, error) {
	t, err := template.New(from).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return out.Bytes(), nil
}

func source(dir, name string) (text, from string, err error) {
	if dir != "" {
		path := filepath.Join(dir, name)
		own, err := trust.ReadFile(path)
		if err == nil {
			return string(own), path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
	}
	b, err := embedded.ReadFile(name)
	return string(b), name, err
}
