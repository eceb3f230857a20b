package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

func TestStopsTogether(t *testing.T) {
	cfg := load(t, "services:\n"+
		"- {name: dns, addresses: [192.0.2.53], checks: [{kind: systemd, unit: unbound.service}, {name: tcp, kind: tcp, address: '192.0.2.53:53'}]}\n"+
		"- {name: web, addresses: [192.0.2.80], checks: [{kind: systemd, unit: nginx.service}, {name: b, kind: systemd, unit: metrics.service, on_failure: degrade}]}\n")
	h := healthy()
	h.Together = []string{"unbound.service", "metrics.service"}
	want := []driver.Finding{{
		Name: "stops-together", Level: driver.LevelWarning, Subject: "dns",
		Text: "at a shutdown systemd stops unbound.service at the same time as keepcast, so that it still gets requests when it is gone",
		Fix:  "systemctl edit keepcast\n\n[Unit]\nAfter=unbound.service",
	}}
	if d := cmp.Diff(want, h.stopOrder(cfg)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if found := healthy().stopOrder(cfg); found != nil {
		t.Errorf("without systemd: %v", found)
	}
}
