package frr

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// frrFound writes findings as "level finding subject".
func frrFound(all []driver.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, string(f.Level)+" "+f.Name+" "+f.Subject)
	}
	return out
}

// frrSpec returns the row of a daemon of FRR.
func frrSpec(daemon string) spec { return frrDialect().spec(daemon) }

// all returns what all exams find.
func (e exam) all() []driver.Finding { return e.findings(slices.Concat(e.spec.exams, e.spec.vrfExams)) }

func TestFRRExam(t *testing.T) {
	const tested = "FRRouting 8.4.4 (host) on Linux(6.1).\n"
	want := frrState(frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	prefixOnly := frrState(driver.Route{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Presence: driver.Announced, PrefixOnly: true})
	for name, tc := range map[string]struct {
		exam exam
		want []string
	}{
		"bgpd, all well": {exam{
			spec: frrSpec("bgpd"), running: "router bgp 65001\n bgp router-id 10.99.0.1\nexit\n", state: `{"ipv4Unicast":{"routerId":"10.99.0.1"}}`,
			neighbors: `{"10.99.0.2":{"bgpState":"Established","bgpTimerHoldTimeMsecs":9000,"minBtwnAdvertisementRunsTimerMsecs":0}}`,
		}, nil},
		"bgpd, all wrong": {exam{
			spec: frrSpec("bgpd"), version: "FRRouting 7.5.1 (host)\n", state: `{"ipv4Unicast":{"routerId":"192.0.2.53"}}`, neighbors: frrSaid(t, "84", "bgpd-neighbors.json"),
			running: "bgp route-map delay-timer 0\nrouter bgp 65001\n !\n address-family ipv4 unicast\n  redistribute connected\n  redistribute kernel\n  redistribute static\n exit-address-family\nexit\n",
		}, []string{
			"warning version-untested bgpd",
			"warning redistribute-unfiltered bgpd redistribute connected", "warning redistribute-unfiltered bgpd redistribute kernel",
			"warning delay-timer bgpd", "error router-id bgpd", "warning no-bfd bgpd neighbor 10.99.0.2", "warning no-bfd bgpd neighbor 10.99.3.2",
			"warning no-bfd bgpd neighbor 10.99.4.2", "warning no-bfd bgpd neighbor 10.99.5.2",
			"warning advertisement-interval bgpd neighbor 10.99.6.2", // and BFD is up
			"warning no-bfd bgpd neighbor 10.99.7.2", "warning no-bfd bgpd neighbor fd99::2", "warning no-bfd bgpd neighbor nh0",
		}},
		"bgpd, bfd down": {exam{
			spec: frrSpec("bgpd"), running: "router bgp 65001\n bgp router-id 10.99.0.1\n",
			neighbors: `{"a":{"bgpState":"Established","bgpTimerHoldTimeMsecs":180000,"peerBfdInfo":{"status":"Down"}},"b":{"bgpState":"Active","peerBfdInfo":{"status":"Down"}}}`,
		}, []string{"warning bfd-down bgpd neighbor a"}},
		"router id of zebra":       {exam{spec: frrSpec("ospfd"), running: "router ospf\nexit\n", zebra: "ip router-id 10.99.0.1\n"}, nil},
		"no router id":             {exam{spec: frrSpec("ospf6d"), running: "router ospf6\nexit\n", state: `{"routerId":"10.99.0.1"}`}, []string{"warning router-id ospf6d"}},
		"no router":                {exam{spec: frrSpec("ospfd"), running: "frr defaults traditional\n"}, nil},
		"ospfd, quick":             {exam{spec: frrSpec("ospfd"), zebra: "router-id 10.99.0.1\n", state: `{"routerId":"10.99.0.1","holdtimeMaxMsecs":500,"lsaMinIntervalMsecs":0}`}, nil},
		"ospfd, slow SPF":          {exam{spec: frrSpec("ospfd"), state: `{"holdtimeMaxMsecs":5000,"lsaMinIntervalMsecs":0}`}, []string{"warning ospf-throttle ospfd"}},
		"ospfd, slow LSA":          {exam{spec: frrSpec("ospfd"), state: `{"holdtimeMaxMsecs":500,"lsaMinIntervalMsecs":5000}`}, []string{"warning ospf-throttle ospfd"}},
		"ospf6d, slow":             {exam{spec: frrSpec("ospf6d"), state: `{"holdTimeMaxMsecs":5000}`}, []string{"warning ospf-throttle ospf6d"}},
		"ospfd, no bfd":            {exam{spec: frrSpec("ospfd"), neighbors: frrSaid(t, "84", "ospfd-neighbor.json"), running: "interface nh0\n ip ospf area 0\nexit\ninterface nh9\n ip ospf bfd\nexit\n"}, []string{"warning no-bfd ospfd nh0"}},
		"ospfd, bfd":               {exam{spec: frrSpec("ospfd"), neighbors: frrSaid(t, "84", "ospfd-neighbor.json"), running: "interface nh0\n ip ospf area 0\n ip ospf bfd 3 100 100\nexit\n"}, nil},
		"ospfd, quick hellos":      {exam{spec: frrSpec("ospfd"), neighbors: frrSaid(t, "84", "ospfd-neighbor.json"), running: "interface nh0\n ip ospf dead-interval 4\nexit\n"}, nil},
		"isisd, as it comes":       {exam{spec: frrSpec("isisd"), neighbors: frrSaid(t, "84", "isisd-neighbor.txt"), running: "router isis A\n net 49\nexit\n"}, []string{"warning isis-lsp-interval isisd", "warning no-bfd isisd nh0"}},
		"isisd, tuned":             {exam{spec: frrSpec("isisd"), running: "router isis A\n lsp-timers gen-interval 1 refresh-interval 900 max-lifetime 1200\nexit\n"}, nil},
		"isisd, level 2 only":      {exam{spec: frrSpec("isisd"), running: "router isis A\n is-type level-2-only\n lsp-timers level-1 gen-interval 30 refresh-interval 900\n lsp-timers level-2 gen-interval 1 refresh-interval 900\nexit\n"}, nil},
		"isisd, level 1 is slow":   {exam{spec: frrSpec("isisd"), running: "router isis A\n lsp-timers level-1 gen-interval 30 refresh-interval 900\n lsp-timers level-2 gen-interval 1 refresh-interval 900\nexit\n"}, []string{"warning isis-lsp-interval isisd"}},
		"isisd, bfd":               {exam{spec: frrSpec("isisd"), neighbors: frrSaid(t, "84", "isisd-neighbor.txt"), running: "interface nh0\n isis bfd\nexit\n"}, nil},
		"isisd, unfiltered":        {exam{spec: frrSpec("isisd"), running: "router isis A\n lsp-timers gen-interval 1\n redistribute ipv4 connected level-2\n redistribute ipv6 static level-2\n redistribute ipv6 connected level-2 route-map X\n"}, []string{"warning redistribute-unfiltered isisd redistribute ipv4 connected level-2"}},
		"static leads past a gate": {exam{spec: frrSpec("ospfd"), desired: prefixOnly, running: "interface nh0\n description redistribute connected\nrouter ospf\n ospf router-id 10.99.0.1\n redistribute static\n"}, []string{"warning redistribute-unfiltered ospfd redistribute static", "warning prefix-ungated ospfd"}},
		"ripd, as mgmtd shows it":  {exam{spec: frrSpec("ripd"), running: "router rip\n redistribute connected\nexit\nrouter ripng\n redistribute kernel\nexit\n"}, []string{"warning redistribute-unfiltered ripd redistribute connected"}},
		"babeld has no route-maps": {exam{spec: frrSpec("babeld"), running: "router babel\n redistribute ipv4 connected\n"}, nil},
		"a later FRR":              {exam{spec: frrSpec("ospfd"), version: "FRRouting 10.4.1 (host)"}, []string{"info version-untested ospfd"}},
		"Quagga":                   {exam{spec: frrSpec("ospfd"), version: "Quagga 1.2.4 (host).\n"}, []string{"error wrong-daemon ospfd"}},
		"some FRR":                 {exam{spec: frrSpec("ospfd"), version: "?"}, []string{"info version-untested ospfd"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.exam.version == "" {
				tc.exam.version = tested
			}
			if tc.exam.desired.Routes == nil {
				tc.exam.desired = want
			}
			found := tc.exam.all()
			if d := cmp.Diff(tc.want, frrFound(found)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, f := range found {
				if f.Text == "" || f.Fix == "" && f.Level != driver.LevelInfo {
					t.Errorf("%s: text %q, fix %q", f.Name, f.Text, f.Fix)
				}
			}
		})
	}
}

// The lines of a fix are to be pasted as they are.
func TestFRRExamFix(t *testing.T) {
	e := exam{spec: frrSpec("isisd"), version: "FRRouting 8.4", running: "router isis A\n lsp-timers gen-interval 5\n redistribute ipv6 connected level-2\n"}
	want := []string{
		"router isis A\n redistribute ipv6 connected level-2 route-map KEEPCAST6",
		"router isis A\n lsp-gen-interval 1\n spf-interval 1\nand spf-interval 1 on the routers",
	}
	var got []string
	for _, f := range e.all() {
		got = append(got, f.Fix)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFRRSaved(t *testing.T) {
	owned := map[netip.Prefix]bool{netip.MustParsePrefix(frr4): true}
	const babel = "router babel\n redistribute ipv4 connected\n redistribute ipv6 static\n distribute-list prefix KEEPCAST out nh0\n"
	for name, tc := range map[string]struct {
		text string
		want []string // how the texts begin
	}{
		"nothing of keepcast's": {"router bgp 65001\n address-family ipv4 unicast\n  network 198.51.100.0/24\n", nil},
		"the operator's lines":  {"router ospf\n redistribute connected route-map KEEPCAST\n", nil},
		"a closed gate":         {"ip prefix-list KEEPCAST seq 5 deny 192.0.2.53/32\nroute-map KEEPCAST permit 20\n match ip address prefix-list KEEPCAST\n", nil},
		"an open list":          {"ip prefix-list KEEPCAST seq 5 permit 192.0.2.7/32\n", []string{"permits 192.0.2.7/32, "}},
		"a network line":        {"router bgp 65001\n address-family ipv4 unicast\n  network 192.0.2.53/32\n", []string{"permits " + frr4 + ", "}},
		"babeld":                {babel, []string{"has no 'ip prefix-list KEEPCAST', ", "has no 'ipv6 prefix-list KEEPCAST6', "}},
		"babeld, half":          {"ip prefix-list KEEPCAST seq 65535 deny any\n" + babel, []string{"has no 'ipv6 prefix-list KEEPCAST6', "}},
		"babeld, closed":        {"ip prefix-list KEEPCAST seq 65535 deny any\nipv6 prefix-list KEEPCAST6 seq 65535 deny any\n" + babel, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found := savedGate("/etc/frr/frr.conf", tc.text, owned)
			var want []string
			for range tc.want {
				want = append(want, "warning open-gate-saved /etc/frr/frr.conf")
			}
			if d := cmp.Diff(want, frrFound(found)); d != "" {
				t.Fatalf("(-want +got):\n%s", d)
			}
			for i, f := range found {
				if !strings.HasPrefix(f.Text, tc.want[i]) {
					t.Error(f.Text)
				}
			}
		})
	}
}

func TestFRRSavedDir(t *testing.T) {
	for sockets, want := range map[string]string{
		"/run/frr": "/etc/frr", "/run/frr/": "/etc/frr", "/run/frr/second": "/etc/frr/second",
		"/var/run/frr": "/etc/frr", "/var/run/frr/second/": "/etc/frr/second",
	} {
		if got := frrDialect().saved(sockets); got != want {
			t.Errorf("%s: got %s, want %s", sockets, got, want)
		}
	}
}

func TestFRRUnreachable(t *testing.T) {
	for name, tc := range map[string]struct {
		daemon       string
		err          error
		finding, fix string
	}{
		"no socket":     {"ospfd", fs.ErrNotExist, "daemon-down", "set ospfd=yes in /etc/frr/daemons and systemctl restart frr, or take ospfd out of the driver's daemons"},
		"nobody there":  {"zebra", syscall.ECONNREFUSED, "daemon-down", "systemctl start frr"},
		"no permission": {"bgpd", fs.ErrPermission, "daemon-unreachable", "usermod -aG frrvty keepcast && systemctl restart keepcast"},
		"hangs":         {"bgpd", errors.New("no answer"), "daemon-unreachable", "look at the daemon's log: journalctl -u frr"},
	} {
		t.Run(name, func(t *testing.T) {
			f := frrDialect().unreachable(tc.daemon, tc.err)
			if f.Name != tc.finding || f.Fix != tc.fix || f.Text != tc.err.Error() || f.Subject != tc.daemon || f.Level != driver.LevelError {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestFRRVersion(t *testing.T) {
	for text, want := range map[string]string{
		"FRRouting 8.4.4 (vm) on Linux(6.18.44-fc-v769).\nCopyright 1996": "8.4",
		"FRRouting 10.3 (vm) on Linux.":                                   "10.3",
		"FRRouting 10.4-dev-g1 (x)":                                       "10.4",
		"FRRouting ":                                                      "",
		"Quagga 1.2.4 ().":                                                "",
		"FRRouting 99999999999999999999.1":                                "",
	} {
		got := ""
		if v, ok := versionOf(text); ok {
			got = v.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A template that can't be rendered is found, also while no daemon runs.
func TestFRRExamineTemplate(t *testing.T) {
	f := testFRR(t.TempDir(), "bgpd")
	f.Open(driver.Options{Templates: f.Directory})
	for text, want := range map[string][]string{
		"! daemon: bgpd\n":    {"error daemon-down zebra", "error daemon-down bgpd"},
		"{{.Nonsense}}":       {"error daemon-down zebra", "error template frr.conf.tmpl", "error daemon-down bgpd"},
		"! daemon: bgpd\nx\n": {"error daemon-down zebra", "error template frr.conf.tmpl", "error daemon-down bgpd"},
	} {
		if err := os.WriteFile(filepath.Join(f.Directory, frrTemplate), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, frrFound(f.Examine(t.Context(), frrState()))); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}
