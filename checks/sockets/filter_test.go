package sockets

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestRangesOf(t *testing.T) {
	for name, tc := range map[string]struct {
		ports []uint16
		most  int
		want  []ports
	}{
		"none":             {nil, 3, nil},
		"one":              {[]uint16{53}, 3, []ports{{53, 53}}},
		"neighbors":        {[]uint16{81, 80, 80, 443}, 3, []ports{{80, 81}, {443, 443}}},
		"as many as fit":   {[]uint16{53, 80, 443}, 3, []ports{{53, 53}, {80, 80}, {443, 443}}},
		"one too many":     {[]uint16{53, 80, 443, 853}, 3, []ports{{53, 80}, {443, 443}, {853, 853}}},
		"gaps of one size": {[]uint16{10, 20, 30, 40}, 2, []ports{{10, 10}, {20, 40}}},
		"the last ports":   {[]uint16{0, 65535}, 1, []ports{{0, 65535}}},
	} {
		if diff := cmp.Diff(tc.want, rangesOf(tc.ports, tc.most), cmp.AllowUnexported(ports{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever ports there are: the ranges are few and hold each of them, and the filter lets
// through what is in a range and has no peer.
func TestProgramByTheRule(t *testing.T) {
	for range 200 {
		var wanted []uint16
		for range rand.IntN(400) {
			wanted = append(wanted, uint16(rand.IntN(2000)))
		}
		ranges := rangesOf(wanted, mostRanges)
		if len(ranges) > mostRanges {
			t.Fatalf("%d ranges", len(ranges))
		}
		in := func(port uint16) bool {
			return slices.ContainsFunc(ranges, func(r ports) bool { return r.from <= port && port <= r.to })
		}
		for _, port := range wanted {
			if !in(port) {
				t.Fatalf("port %d is in none of %v", port, ranges)
			}
		}
		vm := machine(t, program(ranges))
		for range 200 {
			message := make([]byte, 88)
			port, peer := uint16(rand.IntN(2100)), uint16(rand.IntN(2))
			binary.BigEndian.PutUint16(message[localPort:], port)
			binary.BigEndian.PutUint16(message[peerPort:], peer)
			n, err := vm.Run(message)
			if err != nil || n > 0 != (in(port) && peer == 0) {
				t.Fatalf("port %d, peer %d: %d, %v", port, peer, n, err)
			}
		}
	}
}

// machine is what runs a program in place of the kernel.
func machine(t *testing.T, program []unix.SockFilter) *bpf.VM {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, i := range program {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program has what is no instruction")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// The kernel takes a filter of as many ranges as there may be.
func TestMostPorts(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	for port := uint16(2); port < 65000; port += 151 {
		other, _ := following(t, w)
		other.Aim("tcp", netip.AddrPortFrom(at.Addr(), port))
	}
	f.Aim("tcp", at)
	f.Learn()
	if err := w.Broken(); err != nil {
		t.Fatal(err)
	}
	if n := len(w.passed); n != mostRanges {
		t.Errorf("%d ranges", n)
	}
	end()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() == 1 })
}
