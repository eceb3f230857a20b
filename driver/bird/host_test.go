package bird

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// realBIRD is a BIRD in a network namespace of its own.
type realBIRD struct{ *drivertest.BIRD }

func newRealBIRD(t testing.TB) *realBIRD {
	t.Helper()
	return &realBIRD{drivertest.NewBIRD(t)}
}

// host gives it an interface anycast0 with addresses, 192.0.2.99 of which is the
// operator's own, and a configuration that includes the snippet.
func (r *realBIRD) host(protocols string, addrs ...string) *realBIRD {
	r.T.Helper()
	r.Interface(addrs...)
	r.Protocols(protocols)
	return r
}

func (r *realBIRD) start() *realBIRD {
	r.T.Helper()
	r.Start()
	return r
}

func applyRoutes(t testing.TB, b *Driver, routes ...driver.Route) {
	t.Helper()
	if err := b.Apply(t.Context(), stateOf(routes...)); err != nil {
		t.Fatal(err)
	}
}

// refuses is Apply that must fail with that error, SNIPPET and SOCKET and
// DIR standing for the paths.
func refuses(t *testing.T, b *Driver, want string, routes ...driver.Route) {
	t.Helper()
	want = strings.NewReplacer("SNIPPET", b.Snippet, "SOCKET", b.Socket, "DIR", filepath.Dir(b.Snippet)).Replace(want)
	if err := b.Apply(t.Context(), stateOf(routes...)); drivertest.ErrText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// observes waits until the driver observes that: "prefix" or "prefix degraded".
func observes(t *testing.T, b *Driver, want ...string) {
	t.Helper()
	var got []string
	if !drivertest.WaitFor(func() bool {
		state, err := b.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, r := range state.Routes {
			words := r.Prefix.String()
			if r.Degraded {
				words += " degraded"
			}
			if r.Presence != driver.Announced {
				words += " " + r.Presence.String()
			}
			got = append(got, words)
		}
		return slices.Equal(got, want)
	}) {
		t.Fatalf("observed %q, want %q", got, want)
	}
}

func renderRoutes(t testing.TB, b *Driver, routes ...driver.Route) string {
	t.Helper()
	text, err := b.Render(stateOf(routes...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func onDisk(t *testing.T, b *Driver) string {
	t.Helper()
	text, err := os.ReadFile(b.Snippet)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// originatesNothing gives the driver a template that leaves the networks to bird.conf, as
// all did once.
func originatesNothing(t *testing.T, b *Driver) {
	t.Helper()
	own := t.TempDir()
	text := strings.ReplaceAll(drivertest.ReadFile(t, "../../templates/"+templateName), "{{- if .Networks}}", "{{- if false}}")
	drivertest.WriteFile(t, filepath.Join(own, templateName), text)
	b.Open(driver.Options{Log: b.opts.Log, Templates: own})
}
