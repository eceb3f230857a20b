package frr

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkRender measures rendering the snippets of FRR and Quagga, with the sections of
// all daemons.
func BenchmarkRender(b *testing.B) {
	for _, suite := range []struct {
		name   string
		render func(driver.State) ([]byte, error)
	}{
		{"frr", testFRR("/run/frr", frrEvery()...).Render},
		{"quagga", testQuagga("/run/quagga", quaggaDialect().names()...).Render},
	} {
		for _, many := range []struct{ routes, attributes int }{{100, 10}, {1000, 10}, {100, 100}, {1000, 1000}} {
			b.Run(fmt.Sprintf("%s, %d routes with %d attributes", suite.name, many.routes, many.attributes), func(b *testing.B) {
				desired := frrState(drivertest.Many(many.routes, many.attributes)...)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := suite.render(desired); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkParseRunning measures reading the running configuration of a bgpd.
func BenchmarkParseRunning(b *testing.B) {
	for _, prefixes := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d prefixes", prefixes), func(b *testing.B) {
			text, _, _ := benchBGPd(b, prefixes)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				parseRunning(text)
			}
		})
	}
}

// BenchmarkDiff measures comparing what a bgpd runs with its section of 1,000 prefixes.
func BenchmarkDiff(b *testing.B) {
	text, section, m := benchBGPd(b, 1000)
	withdrawn := parseRunning(text)
	delete(withdrawn.networks, netip.MustParsePrefix("198.18.0.1/32"))
	for _, way := range []struct {
		name         string
		run, desired config
		steps        bool
	}{
		{"nothing to do", parseRunning(text), section, false},
		{"one prefix to withdraw", parseRunning(text), withdrawn, true},
		{"all prefixes to announce", parseRunning(frrOperator), section, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if steps := frrDialect().diff(way.run, way.desired, m); len(steps) > 0 != way.steps {
					b.Fatalf("steps: %v", steps)
				}
			}
		})
	}
}

// benchBGPd returns the running configuration of a bgpd that is in sync with a section.
func benchBGPd(b *testing.B, prefixes int) (text string, section config, m managed) {
	b.Helper()
	desired := frrState(drivertest.Many(prefixes, 10)...)
	section = benchSection(b, &testFRR("/run/frr", "bgpd").suite, desired)
	section.prependAS("65001")
	lines := familyLines{}
	for _, p := range sortedPrefixes(section.networks) {
		lines.add(p, networkLine(p, section.networks[p]))
	}
	var top strings.Builder
	for _, k := range sortedKeys(section.entries) {
		top.WriteString(k.command(section.entries[k].head) + "\n")
		for _, l := range section.entries[k].lines {
			top.WriteString(" " + l + "\n")
		}
	}
	in := func(a netip.Addr) string { return strings.Join(lines[familyHeader(a)], "\n  ") }
	return frrOperatorWith(in(netip.IPv4Unspecified()), in(netip.IPv6Unspecified()), top.String()), section, managed{owned: desired.Managed()}
}

// benchSection returns the section of bgpd.
func benchSection(b *testing.B, s *suite, desired driver.State) config {
	b.Helper()
	snippet, err := s.Render(desired)
	if err != nil {
		b.Fatal(err)
	}
	sections, err := s.dialect.parseSections(snippet)
	if err != nil {
		b.Fatal(err)
	}
	return sections["bgpd"]
}

// BenchmarkTreatment measures finding out that nothing else is to be done with any prefix
// than before, as Apply of Quagga does each time.
func BenchmarkTreatment(b *testing.B) {
	for _, prefixes := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d prefixes", prefixes), func(b *testing.B) {
			desired := frrState(drivertest.Many(prefixes, 10)...)
			section := benchSection(b, &testQuagga("/run/quagga", "bgpd").suite, desired)
			b.ReportAllocs()
			for b.Loop() {
				same := treatedAlike(section, section, leadsOut)
				for p := range desired.Managed() {
					if !same(p) {
						b.Fatal("the section is not treated as itself")
					}
				}
			}
		})
	}
}

// BenchmarkReadFRR measures the readers of what real daemons of FRR 8.4 and 10.3 answered.
func BenchmarkReadFRR(b *testing.B) {
	for _, answer := range []struct {
		name string
		read func(text string)
	}{
		{"bgpd-neighbors.json", func(text string) { frrPeers(text) }},
		{"bgpd-prefix.json", func(text string) { frrPath(text) }},
		{"ospfd-neighbor.json", func(text string) { ospfNeighbors(text) }},
		{"ospf6d-neighbor.json", func(text string) { ospf6Neighbors(text) }},
		{"isisd-neighbor.txt", func(text string) { isisNeighbors(text) }},
		{"ripd-rip.txt", func(text string) { ripOriginates(text) }},
		{"ripd-status.txt", func(text string) { ripNeighbors(text) }},
		{"ripngd-ripng.txt", func(text string) { ripngOriginates(text) }},
		{"ripngd-status.txt", func(text string) { ripngNeighbors(text) }},
		{"babeld-route.txt", func(text string) { babelOriginates(text) }},
		{"babeld-neighbor.txt", func(text string) { babelNeighbors(text) }},
	} {
		for _, version := range []string{"84", "103"} {
			benchRead(b, version+"-"+answer.name, drivertest.ReadFile(b, filepath.Join("testdata/said", version+"-"+answer.name)), answer.read)
		}
	}
	benchRead(b, "ospfd-database", `{"asExternalLinkStates":[{"lsaAge":6,"linkStateId":"192.0.2.53","networkMask":32}]}`, func(text string) { ospfOriginates(text) })
	benchRead(b, "ospf6d-database", `{"asScopedLinkStateDb":[{"lsa":[{"type":"ASE","age":3,"payload":"2001:db8:53::53/128"}]}]}`, func(text string) { ospf6Originates(text) })
	benchRead(b, "isisd-database", frrISIS, func(text string) { isisOriginates(text) })
}

// BenchmarkReadQuagga measures the readers of what Quagga answers.
func BenchmarkReadQuagga(b *testing.B) {
	benchRead(b, "bgpd-prefix", quaggaOwn, func(text string) { quaggaPath(text) })
	benchRead(b, "bgpd-neighbors", quaggaNeighbors, func(text string) { quaggaPeers(text) })
	benchRead(b, "ospfd-database", quaggaLSA(1, "192.0.2.53", 32), func(text string) { quaggaOSPF(text) })
	benchRead(b, "ospfd-neighbor", quaggaAdjacencies, func(text string) { quaggaOSPFNeighbors(text) })
	benchRead(b, "isisd-database", quaggaLSPs, func(text string) { quaggaISIS(text) })
}

// benchRead measures one reader.
func benchRead(b *testing.B, name, text string, read func(string)) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			read(text)
		}
	})
}
