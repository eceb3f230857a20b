package checks

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// fill adds routes to the main table of the namespace.
func (s *space) fill(routes func(i int) string, n int) {
	s.t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString("route add " + routes(i) + "\n")
	}
	path := filepath.Join(s.t.TempDir(), "batch")
	drivertest.WriteFile(s.t, path, b.String())
	s.ip("-batch " + path)
}

// The default route of a full table is found without reading the table, even where it is not
// the best for any address that can be asked for.
func TestRouteFullTable(t *testing.T) {
	s := routerSpace(t)
	s.fill(func(i int) string {
		return fmt.Sprintf("%d.%d.%d.0/24 via 192.0.2.254 proto bgp", 20+i>>16, i>>8&255, i&255)
	}, 5000)
	s.ip("route add default via 192.0.2.254 proto bgp metric 20")
	s.do(func() {
		table, err := openRoutes(within(t))
		if err != nil {
			t.Error(err)
			return
		}
		defer table.close()
		read := 0
		if err := table.each(addr("0.0.0.0"), unix.RT_TABLE_MAIN, func(*fibRoute) bool { read++; return true }); err != nil || read != 1 {
			t.Errorf("%d routes read, %v", read, err)
		}
	})
	s.fails(to("0.0.0.0/0"), "", false)
	s.fails(to("20.0.200.0/24"), "", false)
	s.ip("route add 20.0.200.0/25 dev v0")
	s.fails(to("20.0.200.0/24"), "", false)
	s.fails(to("20.1.0.0/24"), "", false)
	s.fails(to("30.1.0.0/24"), "no route to 30.1.0.0/24 in table main", false)
}

// A storm of notices that were lost ends the watch, and is told.
func TestFollowLost(t *testing.T) {
	s := routerSpace(t)
	told, lost := make(chan struct{}, 10), make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	hold := make(chan struct{})
	go s.do(func() {
		lost <- follow(ctx, []uint{unix.RTNLGRP_IPV4_ROUTE}, nil, func(syscall.NetlinkMessage) bool { return false }, func() {
			told <- struct{}{}
			if len(told) == 1 {
				<-hold
			}
		})
	})
	drivertest.Eventually(t, "the watch is set up", func() bool { return len(told) == 1 })
	s.fill(func(i int) string { return fmt.Sprintf("%d.%d.%d.0/24 dev ifb0", 20+i>>16, i>>8&255, i&255) }, 20_000)
	close(hold)
	sameError(t, <-lost, "netlink notices were lost: no buffer space available", "")
	if len(told) != 2 {
		t.Errorf("told %d times", len(told))
	}
}

// FuzzParseRoute meets messages that are cut short, and others that are none.
func FuzzParseRoute(f *testing.F) {
	f.Add(recordedRoute(unix.AF_INET, 0, nil))
	f.Add(recordedRoute(unix.AF_INET6, 200, nil))
	f.Add(recordedRoute(unix.AF_INET, 24, []byte{8, 0, 9, 0, 0xff, 0xff, 0, 0, 20, 0, 9, 0, 8, 0, 0, 1, 2, 0, 0, 0, 8, 0, 5, 0, 1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, data []byte) {
		names := &linkNames{open: func() (*netlink.Handle, error) { return nil, os.ErrClosed }}
		if r, ok := parseRoute(data); ok {
			if r.words(names) == "" || !r.dst.IsValid() || r.dst != netip.PrefixFrom(r.dst.Addr(), r.dst.Bits()).Masked() {
				t.Errorf("got %+v", r)
			}
		}
	})
}

func recordedRoute(family, bits byte, attrs []byte) []byte {
	return append([]byte{family, bits, 0, 0, 254, 186, 0, 1, 0, 0, 0, 0}, attrs...)
}
