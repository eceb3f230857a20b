package main

import (
	"context"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What a daemon that can't be asked has is not claimed, one way or the other.
func TestTableUnknown(t *testing.T) {
	none := 2
	a := api.AddressStatus{Observed: map[string]api.Observation{
		"kernel": {Present: true}, "bird": {Unknown: true, Neighbors: &none}, "frr": {Neighbors: &none},
	}}
	if got := observedIn(a) + "; " + exported(a); got != "bird?, kernel; frr 0/2" {
		t.Errorf("got %s", got)
	}
}

// A service that was withdrawn since its checks can't be run (on_void: withdraw) was shown with
// 2/2 up, as one to which nothing has happened.
func TestTableVoid(t *testing.T) {
	for want, list := range map[string][]api.CheckStatus{
		"0/0 up":         nil,
		"1/2 up":         {{Verdict: health.Up}, {Verdict: health.Down}},
		"2/2 up, 2 void": {{Verdict: health.Up, Void: true}, {Verdict: health.Up, Void: true}},
		"1/2 up, 1 void": {{Verdict: health.Up}, {Void: true}},
	} {
		if got := up(list); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// An operator who looks while routers wait for a dead daemon sees which, and until when.
func TestTableHeld(t *testing.T) {
	held := driver.Held{Neighbor: "10.0.0.1", Until: time.Date(2026, 11, 27, 12, 34, 56, 0, time.Local), Reason: "graceful restart"}
	var out strings.Builder
	tableHeld(&out, []api.ServiceStatus{{Addresses: []api.AddressStatus{
		{Prefix: "192.0.2.53/32", Observed: map[string]api.Observation{"kernel": {}, "frr": {HeldBy: []driver.Held{held}}}},
	}}})
	const want = "\n192.0.2.53/32 may still be sent to this host by the neighbor of frr that waits for it: 10.0.0.1 until 12:34:56 (graceful restart)\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

// busy is the status of a host where not all is well.
func busy() api.Status {
	two := 2
	return api.Status{
		Version: "1.2.3",
		Config: api.ConfigStatus{
			Files: []string{"keepcast.yaml"}, Loaded: time.Date(2026, 11, 26, 15, 4, 5, 0, time.Local),
			Error: "keepcast.yaml:1:1: lingre: no such setting",
		},
		Services: []api.ServiceStatus{
			{
				Name: "dns", State: api.Announcing, Desired: api.Announced, Reason: "all checks up", Since: time.Now().Add(-90 * time.Minute),
				Addresses: []api.AddressStatus{
					{Address: "192.0.2.53/32", Desired: "announced", Observed: map[string]api.Observation{
						"kernel": {Present: true}, "bird": {Present: true, ExportedTo: []string{"r1"}, Neighbors: &two},
					}},
					{Address: "2001:db8::53/128", Desired: "announced", Observed: map[string]api.Observation{"kernel": {Present: true}}},
				},
				Checks: []api.CheckStatus{{Name: "a", Verdict: health.Up}, {Name: "b", Verdict: health.Down}},
			},
			{Name: "web", State: api.Withdrawn, Reason: "answers: 500 < 200 & more", Addresses: []api.AddressStatus{{Address: "192.0.2.80/32", Desired: "absent"}}},
		},
		Drivers: []api.DriverStatus{
			{Name: "kernel", InSync: true},
			{Name: "bird", Since: time.Now().Add(-49 * time.Hour), Neighbors: []driver.Neighbor{{Name: "r1", Up: true}, {Name: "r2"}}},
			{Name: "frr", Since: time.Now().Add(-90 * time.Minute), Error: "bgpd: refused\nospfd: too", Findings: []driver.Finding{
				{Name: "no-neighbor", Level: driver.LevelWarning, Subject: "frr", Text: "has no neighbor", Fix: "configure one:\nneighbor 192.0.2.1"},
				{Name: "bfd-down", Level: driver.LevelInfo, Subject: "frr", Text: "has no BFD"},
			}},
		},
	}
}

// trailing are the blanks that nobody sees.
var trailing = regexp.MustCompile(`(?m) +$`)

func TestTable(t *testing.T) {
	const head = `SERVICE  STATE       SINCE  CHECKS  ADDRESS           DESIRED    IN            EXPORTED TO  REASON
dns      announcing  1h30m  1/2 up  192.0.2.53/32     announced  bird, kernel  bird 1/2     all checks up
                                    2001:db8::53/128  announced  kernel        -
web      withdrawn   -      0/0 up  192.0.2.80/32     absent     -             -            answers: 500 < 200 & more

DRIVER  IN SYNC  SINCE  NEIGHBORS  ERROR
kernel  yes      -      -
bird    pending  2d     1/2 up
frr     NO       1h30m  -          bgpd: refused; ospfd: too
`
	const findings = `
warning frr (no-neighbor)
  has no neighbor
  fix: configure one:
       neighbor 192.0.2.1

info frr (bfd-down)
  has no BFD
`
	const refused = `
The last reload was refused; the configuration of 2026-11-26 15:04:05 is in force:
keepcast.yaml:1:1: lingre: no such setting
`
	whole, calm, stopping := busy(), busy(), busy()
	calm.Config.Error, calm.Drivers[2].Findings = "", nil
	stopping.Config.Error, stopping.Drivers[2].Findings = "", nil
	stopping.Stopping = true
	held := busy()
	held.Config.Error, held.Drivers[2].Findings = "", nil
	held.Services[0].Addresses[0].Prefix = "192.0.2.53/32"
	held.Services[0].Addresses[0].Observed["bird"] = api.Observation{Present: true, ExportedTo: []string{"r1"}, Neighbors: held.Services[0].Addresses[0].Observed["bird"].Neighbors, HeldBy: []driver.Held{
		{Neighbor: "r2", Until: time.Date(2026, 11, 27, 12, 34, 56, 0, time.Local), Reason: "graceful restart"},
	}}
	for name, tt := range map[string]struct {
		status api.Status
		want   string
	}{
		"findings and a refused reload": {whole, head + findings + refused},
		"nothing more":                  {calm, head},
		"waited for":                    {held, head + "\n192.0.2.53/32 may still be sent to this host by the neighbor of bird that waits for it: r2 until 12:34:56 (graceful restart)\n"},
		"stopping":                      {stopping, head + "\nkeepcast is stopping.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := table(&b, tt.status); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, trailing.ReplaceAllString(b.String(), "")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for since, want := range map[time.Duration]string{
		0:                                     "0s",
		59*time.Second + 999*time.Millisecond: "59s",
		time.Minute:                           "1m00s",
		61 * time.Second:                      "1m01s",
		59*time.Minute + 59*time.Second:       "59m59s",
		time.Hour:                             "1h00m",
		25*time.Hour + 61*time.Minute:         "26h01m",
		48*time.Hour - time.Second:            "47h59m",
		48 * time.Hour:                        "2d",
		71 * time.Hour:                        "2d",
		72 * time.Hour:                        "3d",
	} {
		if got := ago(now, now.Add(-since)); got != want {
			t.Errorf("%s: got %s, want %s", since, got, want)
		}
	}
	if got := ago(now, time.Time{}); got != "-" {
		t.Errorf("never: got %s", got)
	}
}

// Scripts get the words as they are, under the same names in each format.
func TestStatusFormats(t *testing.T) {
	socket := answers(t, &fakeEngine{status: busy()})
	for format, parts := range map[string][]string{
		"json": {"{\n  \"version\": \"1.2.3\",\n", `"reason": "answers: 500 < 200 & more"`, `"in_sync": true`},
		"yaml": {"version: 1.2.3\n", "\n    reason: 'answers: 500 < 200 & more'\n", "\n  - name: kernel\n", "\n    in_sync: true\n"},
	} {
		t.Run(format, func(t *testing.T) {
			code, out, errs := keepcastSays(t, "status", "-o", format, "--socket", socket)
			if code != exitOK || errs != "" {
				t.Errorf("exit code %d, %s", code, errs)
			}
			has(t, out, parts...)
		})
	}
}

// Who watches goes on watching while keepcast is away, until interrupted.
func TestWatch(t *testing.T) {
	socket := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var screen drivertest.Buffer
	code := make(chan int, 1)
	go func() { code <- keepcast(ctx, []string{"status", "-w", "--socket", socket}, &screen, io.Discard) }()
	drivertest.Eventually(t, "keepcast is away", func() bool {
		return screen.String() == "\x1b[H\x1b[2Jkeepcast is not running here (nobody answers at "+socket+`): start it with "systemctl start keepcast" or "keepcast run"`+"\n"
	})
	answersAt(t, &fakeEngine{status: busy()}, socket)
	drivertest.Eventually(t, "it is back", func() bool { return strings.Contains(screen.String(), "\n\x1b[H\x1b[2JSERVICE  STATE") })
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

// YAML knows escapes only in quotes: without them an escape would be a text with backslashes.
func TestPlainStyle(t *testing.T) {
	for value, want := range map[string]yaml.Style{"all checks up": 0, "a\x1b[31m": yaml.DoubleQuotedStyle, "a\tb": yaml.DoubleQuotedStyle} {
		n := yaml.Node{Kind: yaml.ScalarNode, Value: value, Style: yaml.SingleQuotedStyle}
		if plainStyle(&n); n.Style != want {
			t.Errorf("%q: style %d, want %d", value, n.Style, want)
		}
	}
}
