package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// TestTap is that the tap hears what a host says on both sessions, in order, and
// not what it is told: a table of routes.
func TestTap(t *testing.T) {
	ctx, l := start(t, Options{Daemon: BIRD, Protocol: BGP})
	if err := permit(ctx, l.Host("a")); err != nil {
		t.Fatal(err)
	}
	tap, err := l.Router().Tap("a")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard []string
	listening, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := tap.Messages(listening, func(m BGPMessage) {
			mu.Lock()
			defer mu.Unlock()
			// A session that is up may have its End-of-RIB still to say: an update that
			// announces and withdraws nothing (RFC 4724, section 2).
			endOfRIB := m.Type == BGPUpdate && len(m.Announced)+len(m.Withdrawn) == 0
			if m.Type != BGPKeepalive && !endOfRIB {
				heard = append(heard, fmt.Sprintf("%s: type %d, +%v -%v", m.From, m.Type, m.Announced, m.Withdrawn))
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	defer func() { stop(); wg.Wait() }()
	if err := l.Router().SetTable(ctx, 5000); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range anycast {
		from := map[bool]string{true: "10.99.1.1", false: "fd99:1::1"}[p.Addr().Is4()]
		for _, step := range []struct {
			do   func(netip.Addr) error
			says string
		}{
			{l.Host("a").AddAddress, fmt.Sprintf("%s: type 2, +[%s] -[]", from, p)},
			{l.Host("a").RemoveAddress, fmt.Sprintf("%s: type 2, +[] -[%s]", from, p)},
		} {
			if err := step.do(p.Addr()); err != nil {
				t.Fatal(err)
			}
			want = append(want, step.says)
			err := Until(ctx, "it on the wire", func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(heard, want) {
					return fmt.Errorf("heard %q", heard)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
