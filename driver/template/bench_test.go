package template

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkRender measures rendering a template of the operator's that uses every attribute.
func BenchmarkRender(b *testing.B) {
	for _, routes := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d routes", routes), func(b *testing.B) {
			tm := &Driver{Template: b.TempDir() + "/routes.tmpl"}
			drivertest.WriteFile(b, tm.Template, `{{range .Announced}}announce {{.Prefix}} # {{.Service}}{{with .MED}} med {{.}}{{end}}{{with .LocalPref}} local-preference {{.}}{{end}}
{{- with .Communities}} community [{{range .}} {{.}}{{end}} ]{{end}}{{if .Degraded}} # degraded{{end}}
{{end}}`)
			desired := state(drivertest.Many(routes, 10)...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tm.Render(desired); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParsePrefixes measures reading what a command to observe prints.
func BenchmarkParsePrefixes(b *testing.B) {
	var out strings.Builder
	for _, r := range drivertest.Many(1000, 1) {
		out.WriteString(r.Prefix.String() + " via 10.0.0.1\n")
	}
	b.ReportAllocs()
	b.SetBytes(int64(out.Len()))
	for text := out.String(); b.Loop(); {
		if _, err := parsePrefixes(text); err != nil {
			b.Fatal(err)
		}
	}
}
