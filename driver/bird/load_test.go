package bird

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestBIRDLoad has Apply talk to a BIRD that gives the answers one by one.
func TestLoad(t *testing.T) {
	const up = "1000-BIRD 2.0.12\n1011-Router ID is 10.99.0.1\n Last reboot on x\n0013 Daemon is up and running\n"
	const protocols = "2002-Name       Proto      Table      State  Since         Info\n" +
		"1002-keepcast   Direct     ---        up     18:58:12.725  \n keepcast_pipe4 Pipe       ---        up     19:03:06.311  keepcast4 <=> master4\n0000 \n"
	for name, tc := range map[string]struct {
		talk []string // command, answer, command, answer ...; STATE stands for the fingerprint
		err  string
	}{
		"in force": {[]string{
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"own names": {[]string{
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, "8003 No protocols match\n",
		}, ""},
		// Somebody edited the snippet and had BIRD load it, the fingerprint as it was: a foreign
		// /32 was let out for ever, and status said in step.
		"edited": {[]string{
			"eval keepcast_state", "0023 STATE\n",
			"show status", up,
			"configure check", "0002-Reading configuration from x\n0020 Configuration OK\n",
			"configure", "0002-Reading configuration from x\n0003 Reconfigured\n",
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"at once": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0002-Reading configuration from x\n0020 Configuration OK\n",
			"configure", "0002-Reading configuration from x\n0003 Reconfigured\n",
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"in progress": {[]string{
			"eval keepcast_state", "9001 syntax error, unexpected CF_SYM_UNDEFINED\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0002-Reading configuration from x\n0004 Reconfiguration in progress\n",
			"show status", "+Reconfiguring\n1000-BIRD 2.0.12\n0013 Reconfiguration in progress\n",
			"show status", "1000-BIRD 3.3.2\n0013 Reconfiguration in progress\n+Reconfigured\n",
			"show status", up,
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"queued, in force after the second": {[]string{
			"eval keepcast_state", "9001 syntax error, unexpected CF_SYM_UNDEFINED\n",
			"show status", up,
			"configure check", "0002-Reading configuration from x\n0020 Configuration OK\n",
			"configure", "0002-Reading configuration from x\n0005 Reconfiguration already in progress, queueing new config\n",
			"show status", "1000-BIRD 2.0.12\n0013 Reconfiguration in progress\n",
			"show status", "+Reconfigured\n1000-BIRD 2.0.12\n+Reconfiguring\n0013 Reconfiguration in progress\n",
			"show status", "1000-BIRD 2.0.12\n0013 Reconfiguration in progress\n",
			"show status", "+Reconfigured\n" + up,
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"queued, then undone": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0005 Reconfiguration already in progress, queueing new config\n",
			"show status", up,
			"eval keepcast_state", "0023 old\n",
		}, `bird: runs another snippet (keepcast_state "old") than SNIPPET ("STATE"): its reconfiguration was undone, or leaves that out`},
		// BIRD 3.3.2 died of a configure that was queued behind the operator's.
		"after the operator's": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", "1000-BIRD 3.3.2\n0013 Reconfiguration in progress\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0003 Reconfigured\n",
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, protocols,
		}, ""},
		"shutting down before": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", "0013 Shutdown in progress\n",
		}, "bird did not load the configuration: Shutdown in progress"},
		"at once, in vain": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0003 Reconfigured\n",
			"eval keepcast_state", "0023 old\n",
		}, `bird: runs another snippet (keepcast_state "old") than SNIPPET ("STATE"): correct the include line in bird.conf, then run birdc configure`},
		"shutting down": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0006 Reconfiguration ignored, shutting down\n",
		}, "bird did not load the configuration: Reconfiguration ignored, shutting down (code 0006)"},
		"shutting down meanwhile": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "0004 Reconfiguration in progress\n",
			"show status", "0013 Shutdown in progress\n",
		}, "bird did not load the configuration: Shutdown in progress"},
		"refused after the check": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "0020 Configuration OK\n",
			"configure", "8002 /etc/bird/bird.conf:1:2 syntax error\n",
		}, `bird's configuration is at fault outside of keepcast's snippet, correct it there (the old snippet is back in place): bird refuses "configure": /etc/bird/bird.conf:1:2 syntax error (code 8002)`},
		"restricted": {[]string{
			"eval keepcast_state", "0023 old\n",
			"show status", up,
			"configure check", "8007 Access denied\n",
		}, `bird refuses "configure check": Access denied: this control socket is a restricted one, keepcast needs one that may configure`},
		"down": {[]string{
			"eval keepcast_state", "0023 STATE\n",
			`show protocols "keepcast*"`, "2002-Name Proto\n1002-keepcast   Direct     ---        down     18:58:12.725  \n0000 \n",
		}, "bird protocol keepcast: is down, so what it carries is not announced: if that is not meant, run birdc enable keepcast"},
	} {
		load := func(t *testing.T, bytes bool) {
			var asked []string
			var b *Driver
			want := stateOf(routeOf("192.0.2.53/32", driver.Announced))
			replace := func(s string) string {
				_, state, _ := b.render(want)
				return strings.NewReplacer("SNIPPET", b.Snippet, "STATE", state).Replace(s)
			}
			f, c := newFakeBIRD(t, func(_ int, command string) string {
				if command == "" {
					return hello
				}
				asked = append(asked, command)
				if i := 2*len(asked) - 1; i < len(tc.talk) {
					return replace(tc.talk[i])
				}
				return "9001 asked too much\n"
			})
			f.Bytes.Store(bytes)
			b = testDriver(strings.TrimSuffix(c.Socket, "/bird.ctl"))
			old := "the old snippet"
			if tc.talk[1] == "0023 STATE\n" && !strings.HasPrefix(name, "edited") {
				old = renderRoutes(t, b, want.Routes...)
			}
			drivertest.WriteFile(t, b.Snippet, old)
			err := b.Apply(t.Context(), want)
			b.Close()
			f.Stop()
			if drivertest.ErrText(err) != replace(tc.err) {
				t.Errorf("got  %v\nwant %s", err, replace(tc.err))
			}
			var commands []string
			for i := 0; i < len(tc.talk); i += 2 {
				commands = append(commands, tc.talk[i])
			}
			if d := cmp.Diff(commands, asked); d != "" {
				t.Errorf("commands (-want +got):\n%s", d)
			}
			if back := onDisk(t, b) == "the old snippet"; back != (ctl.RefusalCode(err) == ctl.CodeConfigError) {
				t.Errorf("the old snippet is back: %v", back)
			}
		}
		t.Run(name, func(t *testing.T) { load(t, false) })
		t.Run(name+", byte by byte", func(t *testing.T) { load(t, true) })
	}
}

// A configure that is in vain is not done again, for the fault is in bird.conf; one
// that had to wait and was undone is.
func TestFutile(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		loads  int
	}{
		"at once": {"0003 Reconfigured\n", 1},
		"queued":  {"0005 Reconfiguration already in progress, queueing new config\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			loads := 0
			f, c := newFakeBIRD(t, func(_ int, command string) string {
				switch command {
				case "":
					return hello
				case "eval keepcast_state":
					return "0023 old\n"
				case "configure":
					loads++
					return tc.answer
				}
				return "0013 Daemon is up and running\n"
			})
			b := testDriver(strings.TrimSuffix(c.Socket, "/bird.ctl"))
			for range 3 {
				if err := b.Apply(t.Context(), stateOf(routeOf("192.0.2.53/32", driver.Announced))); err == nil {
					t.Error("no error")
				}
			}
			b.Close()
			f.Stop()
			if loads != tc.loads {
				t.Errorf("loaded %d times, want %d", loads, tc.loads)
			}
		})
	}
}

// TestBIRDRoutes reads what the versions answer to the question for routes.
func TestRoutes(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   string
		err    string
	}{
		"2.0.12": {
			"1007-Table master4:\n 192.0.2.53/32        unicast [keepcast 18:58:12.727] * (241)\n \tdev anycast0\n 203.0.113.0/24       unicast [keepcast 18:58:12.727] * (241)\n \tdev anycast0\n0000 \n",
			"192.0.2.53/32 203.0.113.0/24", "",
		},
		"two lines": {
			"1007-Table master6:\n 2001:db8:53::53/128  unicast [keepcast 18:58:12.727] * (241)\n \tdev anycast0\n1007-2001:db8:54::/64  unicast [keepcast 18:58:12.727] * (241)\n \tdev anycast0\n0000 \n",
			"2001:db8:53::53/128 2001:db8:54::/64", "",
		},
		"3.x":             {"1007-Table master4:\n 192.0.2.53/32        unicast [keepcast 18:58:12.727] * (241)\n \tdev anycast0\n1008-\tpreference: 241\n0000 \n", "192.0.2.53/32", ""},
		"none":            {"8001 Network not found\n", "", ""},
		"none of a table": {"1007-Table master4:\n0000 \n", "", ""},
		"none, 3.x":       {"0000 \n", "", ""},
		"no such table":   {"9001 syntax error, unexpected CF_SYM_UNDEFINED\n", "", `bird refuses "show route x where defined(keepcast_announced)": syntax error, unexpected CF_SYM_UNDEFINED (code 9001)`},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newFakeBIRD(t, func(_ int, command string) string {
				if command == "" {
					return hello
				}
				return tc.answer
			})
			b := testDriver(strings.TrimSuffix(c.Socket, "/bird.ctl"))
			defer b.Close()
			found, err := b.routes(t.Context(), "x")
			var got []string
			for _, p := range found {
				got = append(got, p.String())
			}
			if text := strings.Join(got, " "); text != tc.want || drivertest.ErrText(err) != tc.err {
				t.Errorf("got %q %v\nwant %q %s", text, err, tc.want, tc.err)
			}
		})
	}
}
