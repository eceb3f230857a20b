package sockets

import (
	"slices"

	"golang.org/x/sys/unix"
)

// ports is a range of ports.
type ports struct{ from, to uint16 }

// mostRanges bounds the filter: the kernel charges it to the memory of the socket
// (net.core.optmem_max), of which old ones give 20 KiB.
const mostRanges = 200

// rangesOf returns few ranges that hold the ports, in order. They are cut at the widest gaps.
func rangesOf(wanted []uint16, most int) []ports {
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	gap := func(i int) int { return int(wanted[i]) - int(wanted[i-1]) }
	var cuts []int
	for i := 1; i < len(wanted); i++ {
		if gap(i) > 1 {
			cuts = append(cuts, i)
		}
	}
	slices.SortStableFunc(cuts, func(a, b int) int { return gap(b) - gap(a) })
	cuts = slices.Sorted(slices.Values(cuts[:min(len(cuts), most-1)]))
	var out []ports
	from := 0
	for _, to := range append(cuts, len(wanted)) {
		if from < to {
			out = append(out, ports{wanted[from], wanted[to-1]})
		}
		from = to
	}
	return out
}

// Where a message of sock_diag, with its header of 16 bytes, has the ports.
const localPort, peerPort = 20, 22

// program is a filter (socket(7), SO_ATTACH_FILTER) that lets those messages through that
// tell of a socket without a peer on one of the ports. Without it 10,000 short connections
// in a second overflow the buffer, and events are lost.
func program(wanted []ports) []unix.SockFilter {
	const (
		load        = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		equal       = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		atLeast     = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		greater     = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		result      = unix.BPF_RET | unix.BPF_K
		all, nought = 0xffffffff, 0
	)
	out := []unix.SockFilter{
		{Code: load, K: peerPort},
		{Code: equal, K: 0, Jt: 1},
		{Code: result, K: nought},
		{Code: load, K: localPort},
	}
	for _, r := range wanted {
		out = append(out,
			unix.SockFilter{Code: atLeast, K: uint32(r.from), Jt: 1},
			unix.SockFilter{Code: result, K: nought}, // all others are higher
			unix.SockFilter{Code: greater, K: uint32(r.to), Jt: 1},
			unix.SockFilter{Code: result, K: all},
		)
	}
	return append(out, unix.SockFilter{Code: result, K: nought})
}
