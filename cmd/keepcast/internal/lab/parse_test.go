package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// parser is one of the readers of daemon output, with the endings of the names
// of the files in testdata that real daemons wrote for it.
type parser struct {
	files []string
	want  []Path // of both hosts
	parse func(text string, prefix netip.Prefix) ([]Path, error)
}

// both are the paths of both hosts, alike but for the host and being the best.
func both(p Path) []Path {
	a, b := p, p
	a.Host, b.Host, b.Best = "a", "b", false
	return []Path{a, b}
}

var marked = Path{
	Best: true, Metric: 100,
	Communities: []string{"65001:100", "65535:0"}, LargeCommunities: []string{"65001:1:2", "65001:3:4"},
}

// with is p with another local preference and AS path.
func (p Path) with(localPref int64, as ...string) Path {
	p.LocalPref, p.ASPath = localPref, as
	return p
}

func parseBIRD(text string, _ netip.Prefix) ([]Path, error) { return birdRoutes(text), nil }
func parseFRR(text string, _ netip.Prefix) ([]Path, error)  { return frrBGP(text) }

// plain is a parser that knows no errors.
func plain(parse func(string, netip.Prefix) []Path) func(string, netip.Prefix) ([]Path, error) {
	return func(text string, p netip.Prefix) ([]Path, error) { return parse(text, p), nil }
}

func parseLSAs(start string) func(string, netip.Prefix) ([]Path, error) {
	return func(text string, p netip.Prefix) ([]Path, error) { return ospfLSAs(text, start, p), nil }
}

var parsers = map[string]parser{
	"bird bgp":        {[]string{"bird-bgp4.txt", "bird-bgp6.txt"}, both(Path{Best: true, ASPath: []string{"65001"}, LocalPref: 100}), parseBIRD},
	"bird attributes": {[]string{"bird-attributes.txt"}, both(marked.with(100, "65001")), parseBIRD},
	"bird ibgp":       {[]string{"bird-attributes-ibgp.txt"}, both(marked.with(50)), parseBIRD},
	"bird ospf":       {[]string{"bird-ospf4.txt", "bird-ospf6.txt"}, both(Path{Metric: 10000}), plain(birdOSPF)},
	"bird rip":        {[]string{"bird-rip4.txt", "bird-rip6.txt"}, []Path{{Host: "a", Best: true, Metric: 2}, {Host: "b", Metric: 3}}, parseBIRD},
	"bird babel":      {[]string{"bird-babel.txt"}, []Path{{Host: "a", Metric: 96}, {Host: "b", Metric: 192}}, plain(birdBabel)},
	"frr bgp":         {[]string{"frr-bgp4.json", "frr-bgp6.json"}, both(Path{Best: true, ASPath: []string{"65001"}}), parseFRR},
	// FRR honours graceful-shutdown (RFC 8326, 4.1) of another AS by itself.
	"frr attributes": {[]string{"frr-attributes.json"}, both(marked.with(0, "65001")), parseFRR},
	"frr ibgp":       {[]string{"frr-attributes-ibgp.json"}, both(marked.with(50)), parseFRR},
	"frr ospf":       {[]string{"frr-ospf4.txt"}, both(Path{Metric: 20}), parseLSAs("LS age:")},
	"frr ospf6":      {[]string{"frr-ospf6.txt"}, both(Path{Metric: 20}), parseLSAs("Age:")},
	"frr isis":       {[]string{"frr-isis.txt"}, both(Path{}), plain(frrISIS)},
	"frr rip":        {[]string{"frr-rip4.txt", "frr-rip6.txt"}, []Path{{Host: "a", Metric: 2}}, plain(frrRIP)},
	"frr babel":      {[]string{"frr-babel.txt"}, []Path{{Host: "a", Metric: 96}, {Host: "b", Metric: 192}}, plain(frrBabel)},
}

func TestParsers(t *testing.T) {
	for _, p := range parsers {
		for _, system := range []string{"debian12-", "debian13-"} {
			for _, file := range p.files {
				t.Run(system+file, func(t *testing.T) {
					text, err := os.ReadFile(filepath.Join("testdata", system+file))
					if err != nil {
						t.Fatal(err)
					}
					prefix := anycast[0]
					if strings.Contains(file, "6.") {
						prefix = anycast[1]
					}
					got, err := p.parse(string(text), prefix)
					if err != nil {
						t.Fatal(err)
					}
					sortPaths(got)
					if diff := cmp.Diff(p.want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("paths (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// What cannot be reached is no path.
func TestUnreachable(t *testing.T) {
	p := anycast[0].String()
	for name, got := range map[string][]Path{
		"bird babel": birdBabel(p+" 10.99.1.1 a inf * 1 2.838\n", anycast[0]),
		"frr babel":  frrBabel(p+" metric 65535 refmetric 0 via a neigh fe80::1 (installed)\n", anycast[0]),
		"frr rip":    frrRIP("R(n) "+p+" 10.99.1.1 16 10.99.1.1 0 00:14\n", anycast[0]),
	} {
		if len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A withdrawn LSA stays in the database for a while, at its maximum age.
func TestWithdrawnLSA(t *testing.T) {
	text, err := os.ReadFile("testdata/debian12-frr-ospf4.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "LS age: ")
	aged := "LS age: 3600\n" + rest[strings.Index(rest, "\n"):]
	want := []Path{{Host: "b", Metric: 20}}
	if diff := cmp.Diff(want, ospfLSAs(aged, "LS age:", anycast[0])); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestDegradedBIRD(t *testing.T) {
	const text = "192.0.2.53/32        unicast [b4 10:00:00.000] * (100) [AS65001i]\n\tvia 10.99.2.1 on b\n" +
		"                     unicast [a4 10:00:00.000] (100) [AS65001i]\n\tBGP.as_path: 65001 65001\n\tBGP.med: 100\n"
	want := []Path{{Host: "b", Best: true}, {Host: "a", Metric: 100, ASPath: []string{"65001", "65001"}}}
	if diff := cmp.Diff(want, birdRoutes(text)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	three := strings.NewReplacer("BGP.as_path", "bgp_path", "BGP.med", "bgp_med").Replace(text) // BIRD 3
	if diff := cmp.Diff(want, birdRoutes(three)); diff != "" {
		t.Errorf("paths of BIRD 3 (-want +got):\n%s", diff)
	}
}

func FuzzParsers(f *testing.F) {
	files, err := filepath.Glob("testdata/debian*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, p := range parsers {
			for _, prefix := range anycast {
				paths, err := p.parse(text, prefix)
				if err != nil {
					continue
				}
				for _, path := range paths {
					if path.Host != "a" && path.Host != "b" {
						t.Errorf("%s: path of host %q", name, path.Host)
					}
				}
			}
		}
	})
}
