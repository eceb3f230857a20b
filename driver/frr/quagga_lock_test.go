package frr

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// Another vty session in the configuration is waited for, and told of.
func TestQuaggaLocked(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	somebody := vty.Client{Daemon: "bgpd", Path: filepath.Join(dir, "bgpd.vty"), Timeout: 10 * time.Second}
	in := func(commands ...string) {
		t.Helper()
		answers, err := somebody.Run(t.Context(), commands...)
		if err = errors.Join(err, vty.Refusals("bgpd", answers)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := somebody.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer somebody.Close()
	in("configure terminal")
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	q.Timeout = 100 * time.Millisecond
	err := q.Apply(t.Context(), frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{})))
	var found driver.Finding
	if !errors.As(err, &found) || found.Name != "config-locked" {
		t.Fatalf("got %v", err)
	}
	if len(bgpd.lists) > 0 {
		t.Errorf("wrote %q in spite of the lock", bgpd.lists)
	}

	patient := testQuagga(dir, "bgpd")
	defer patient.Close()
	tried := len(bgpd.taken())
	done := make(chan error, 1)
	go func() {
		done <- patient.Apply(t.Context(), frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{})))
	}()
	frrUntil(t, "the second driver tries", func() bool { tried += len(bgpd.taken()); return tried > 2 })
	in("end")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := bgpd.passes("KEEPCAST", frr4); got != "permit" {
		t.Error(got)
	}
	in("configure terminal", "end") // the driver holds no lock
}
