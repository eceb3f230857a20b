package bird

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
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
			in := bufio.NewReaderSize(from, lineLimit)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				from.Reset(text)
				in.Reset(from)
				if _, err := readReply(in); err != nil {
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
