package vty

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkReadAnswer measures reading a running configuration off the socket.
func BenchmarkReadAnswer(b *testing.B) {
	var text strings.Builder
	for i, r := range drivertest.Many(1000, 1) {
		fmt.Fprintf(&text, "ip prefix-list KEEPCAST seq %d permit %s\n", 5*i, r.Prefix)
	}
	answer := text.String() + drivertest.VtyDone
	from := strings.NewReader(answer)
	in := bufio.NewReader(from)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		from.Reset(answer)
		in.Reset(from)
		if _, _, err := readAnswer(in); err != nil {
			b.Fatal(err)
		}
	}
}
