package bird

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkRender measures rendering the snippet.
func BenchmarkRender(b *testing.B) {
	for _, many := range []struct{ routes, attributes int }{{100, 10}, {1000, 10}, {100, 100}, {1000, 1000}} {
		b.Run(fmt.Sprintf("%d routes with %d attributes", many.routes, many.attributes), func(b *testing.B) {
			d, desired := packagedDriver(), stateOf(drivertest.Many(many.routes, many.attributes)...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Render(desired); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// recorded are the replies of real BIRDs to "show protocols all".
func recorded() []string { return []string{"protocols-2.0.12.txt", "protocols-3.4.0.txt"} }

// BenchmarkReadReply measures reading a reply off the socket.
func BenchmarkReadReply(b *testing.B) {
	for _, name := range recorded() {
		b.Run(name, func(b *testing.B) {
			text := drivertest.ReadFile(b, "testdata/"+name)
			from := strings.NewReader(text)
			in := bufio.NewReader(from)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				from.Reset(text)
				in.Reset(from)
				if _, err := ctl.ReadReply(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReadProtocols measures reading the protocols of a reply.
func BenchmarkReadProtocols(b *testing.B) {
	for _, name := range recorded() {
		b.Run(name, func(b *testing.B) {
			text := drivertest.ReadFile(b, "testdata/"+name)
			r := replyOf(b, text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				readProtocols(r)
			}
		})
	}
}

// BenchmarkReadRows measures reading the lists of neighbors.
func BenchmarkReadRows(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		b.Run(name, func(b *testing.B) {
			l := lists[name]
			r := replyOf(b, l.list)
			like := neighbor{Neighbor: driver.Neighbor{Name: "igp", Protocol: l.kind}}
			b.ReportAllocs()
			b.SetBytes(int64(len(l.list)))
			for b.Loop() {
				for _, row := range readRows(r) {
					like.row(row)
				}
			}
		})
	}
}

// BenchmarkObserve measures what an observation costs a BIRD that has many other routes, in
// its own processor time, by the number of prefixes. It is given as a multiple of that of
// one prefix.
func BenchmarkObserve(b *testing.B) {
	r := newRealBIRD(b)
	var others strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&others, "route 20.%d.%d.%d/32 blackhole;\n", i>>16, i>>8&255, i&255)
	}
	r.Interface()
	r.Protocols("protocol static others { ipv4; " + others.String() + "}\nprotocol rip up { ipv4 { export filter keepcast_igp; }; }\n")
	d := testDriver(r.Dir)
	defer d.Close()
	drivertest.WriteFile(b, d.Snippet, renderRoutes(b, d))
	r.Start()
	one := 0.0
	for _, many := range []int{1, 10, 50} {
		var routes []driver.Route
		for i := range many {
			p := fmt.Sprintf("192.0.2.%d/32", i)
			r.IP("-n " + r.NS + " addr replace " + p + " dev anycast0")
			routes = append(routes, routeOf(p, driver.Announced))
		}
		applyRoutes(b, d, routes...)
		b.Run(fmt.Sprintf("%d prefixes", many), func(b *testing.B) {
			before := r.CPU()
			for b.Loop() {
				if _, err := d.Observe(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			each := float64(r.CPU()-before) / float64(b.N)
			if many == 1 {
				one = each
			}
			b.ReportMetric(each/one, "×one")
			b.ReportMetric(each/1e3, "bird-µs/op")
		})
	}
}
