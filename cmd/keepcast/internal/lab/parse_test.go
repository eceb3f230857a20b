package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parser is one of the readers of daemon output, with the endings of the names
// of the files in testdata that real daemons wrote for it.
type parser struct {
	files  []string
	metric int64 // of both hosts' paths
	as     []string
	parse  func(text string, prefix netip.Prefix) ([]Path, error)
}

var parsers = map[string]parser{
	"bird bgp": {
		files: []string{"bird-bgp4.txt", "bird-bgp6.txt"}, as: []string{"65001"},
		parse: func(text string, _ netip.Prefix) ([]Path, error) { return birdBGP(text), nil },
	},
	"bird ospf": {
		files: []string{"bird-ospf4.txt", "bird-ospf6.txt"}, metric: 10000,
		parse: func(text string, p netip.Prefix) ([]Path, error) { return birdOSPF(text, p), nil },
	},
	"frr bgp": {
		files: []string{"frr-bgp4.json", "frr-bgp6.json"}, as: []string{"65001"},
		parse: func(text string, _ netip.Prefix) ([]Path, error) { return frrBGP(text) },
	},
	"frr ospf": {
		files: []string{"frr-ospf4.txt"}, metric: 20,
		parse: func(text string, p netip.Prefix) ([]Path, error) { return ospfLSAs(text, "LS age:", p), nil },
	},
	"frr ospf6": {
		files: []string{"frr-ospf6.txt"}, metric: 20,
		parse: func(text string, p netip.Prefix) ([]Path, error) { return ospfLSAs(text, "Age:", p), nil },
	},
	"frr isis": {
		files: []string{"frr-isis.txt"},
		parse: func(text string, p netip.Prefix) ([]Path, error) { return frrISIS(text, p), nil },
	},
}

func TestParsers(t *testing.T) {
	for name, p := range parsers {
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
					knowsBest := strings.HasSuffix(name, "bgp") // the others leave it to the kernel
					want := []Path{{Host: "a", Best: knowsBest, Metric: p.metric, ASPath: p.as}, {Host: "b", Metric: p.metric, ASPath: p.as}}
					sortPaths(got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("paths (-want +got):\n%s", diff)
					}
				})
			}
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
	if diff := cmp.Diff(want, birdBGP(text)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	three := strings.NewReplacer("BGP.as_path", "bgp_path", "BGP.med", "bgp_med").Replace(text) // BIRD 3
	if diff := cmp.Diff(want, birdBGP(three)); diff != "" {
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
