package checks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// neighbor is a router in a namespace of its own, with a BIRD that runs, beside a host, in
// whose namespace the daemon under test is for the test to start.
func neighbor(t *testing.T) (host, router *drivertest.BIRD) {
	t.Helper()
	host, router = drivertest.NewBIRD(t), drivertest.NewBIRD(t)
	host.IP("link add nh0 netns " + host.NS + " type veth peer name nr0 netns " + router.NS)
	for _, words := range []string{
		"-n HOST addr add 10.99.0.1/24 dev nh0", "-n HOST addr add fd99::1/64 dev nh0 nodad",
		"-n ROUTER addr add 10.99.0.2/24 dev nr0", "-n ROUTER addr add fd99::2/64 dev nr0 nodad",
		"-n HOST link set nh0 up", "-n ROUTER link set nr0 up",
	} {
		host.IP(strings.NewReplacer("HOST", host.NS, "ROUTER", router.NS).Replace(words))
	}
	router.ID = "10.99.0.2"
	router.Config(`protocol bfd { interface "*" { interval 100 ms; idle tx interval 100 ms; }; }
template bgp peer { connect delay time 1; error wait time 1, 2; bfd on; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
protocol bgp p4 from peer { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; }
protocol bgp p6 from peer { local fd99::2 as 65002; neighbor fd99::1 as 65001; }
`)
	router.Start()
	return host, router
}

// frrOf runs daemons of FRR in the namespace of a host, each with its configuration, and
// returns the directory of their sockets, and how to find the processes.
func frrOf(t *testing.T, host *drivertest.BIRD, confs map[string]string) (dir string, processes map[string]*os.Process) {
	t.Helper()
	owner, err := os.Stat("/etc/frr")
	if err != nil {
		drivertest.Missing(t, "FRR is not installed: "+err.Error())
	}
	dir, processes = drivertest.SocketDir(t), map[string]*os.Process{}
	user := owner.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Chown(dir, int(user.Uid), int(user.Gid)), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zebra", "bgpd", "bfdd"} {
		text, wanted := confs[name]
		if !wanted && name != "zebra" {
			continue
		}
		program := drivertest.Program(t, "/usr/lib/frr/"+name)
		conf := filepath.Join(dir, name+".conf")
		drivertest.WriteFile(t, conf, text)
		args := []string{
			"netns", "exec", host.NS, program, "-u", "frr", "-g", "frr", "-f", conf, "-A", "127.0.0.1", "-P", "0",
			"--vty_socket", dir, "-z", dir + "/zserv.api", "-i", dir + "/" + name + ".pid",
		}
		// bfdd of FRR 8 has a socket of its own, which has to be elsewhere.
		if help, _ := exec.Command(program, "--help").CombinedOutput(); strings.Contains(string(help), "--bfdctl") {
			args = append(args, "--bfdctl", dir+"/bfdd.sock")
		}
		processes[name] = startDaemon(t, "ip", args...) // it becomes the daemon
		drivertest.Eventually(t, name+" answers", func() bool {
			_, err := askFRR(within(t), dir, name, "show version")
			return err == nil
		})
	}
	return dir, processes
}

// birdProcess returns the process of a BIRD.
func birdProcess(b *drivertest.BIRD) *os.Process {
	b.T.Helper()
	id, err := strconv.Atoi(strings.TrimSpace(drivertest.ReadFile(b.T, filepath.Join(b.Dir, "bird.pid"))))
	if err != nil {
		b.T.Fatal(err)
	}
	process, err := os.FindProcess(id)
	if err != nil {
		b.T.Fatal(err)
	}
	return process
}

// failsLike waits until a check fails with a text in which each ... may be anything.
func failsLike(t *testing.T, c Checker, want string) {
	t.Helper()
	var err error
	if !drivertest.WaitFor(func() bool { err = c.Check(within(t)); return like(drivertest.ErrText(err), want) }) {
		t.Fatalf("error\n got: %v\nwant: %s", err, want)
	}
	if health.IsCertain(err) || health.IsVoid(err) {
		t.Errorf("certain %t, void %t: %v", health.IsCertain(err), health.IsVoid(err), err)
	}
}

// like reports whether a text is as a pattern, in which each ... may be anything.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "...")
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for i, part := range parts[1:] {
		at := strings.Index(text, part)
		if i == len(parts)-2 {
			at = strings.LastIndex(text, part)
		}
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return text == ""
}

// endsOf takes a daemon that a check asks through a hang and its end.
func endsOf(t *testing.T, c Checker, daemon *os.Process, hangs, ends string) {
	t.Helper()
	if err := daemon.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(shortly(t)); !like(drivertest.ErrText(err), hangs) || health.IsCertain(err) {
		t.Errorf("it hangs\n got: %v\nwant: %s", err, hangs)
	}
	if err := errors.Join(daemon.Signal(unix.SIGCONT), daemon.Kill()); err != nil {
		t.Fatal(err)
	}
	failsLike(t, c, ends)
}

func TestRoutingDaemonValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		at  routingDaemon
		err string
	}{
		"bird":              {routingDaemon{Daemon: "bird"}, ""},
		"bird, elsewhere":   {routingDaemon{Daemon: "bird", Socket: "/run/bird2.ctl"}, ""},
		"frr":               {routingDaemon{Daemon: "frr"}, ""},
		"frr, elsewhere":    {routingDaemon{Daemon: "frr", Directory: "/run/frr/east"}, ""},
		"none":              {routingDaemon{}, `daemon: "" is neither bird nor frr`},
		"socket of frr":     {routingDaemon{Daemon: "frr", Socket: "/a"}, "socket: only with daemon: bird (FRR has a directory of sockets)"},
		"directory of bird": {routingDaemon{Daemon: "bird", Directory: "/a"}, "directory: only with daemon: frr (BIRD has one socket)"},
		"socket":            {routingDaemon{Daemon: "bird", Socket: "bird.ctl"}, `socket: "bird.ctl" is no absolute path`},
		"directory":         {routingDaemon{Daemon: "frr", Directory: "frr"}, `directory: "frr" is no absolute path`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.at.validate(), tt.err, "") })
	}
}

func TestRoutingDaemonAt(t *testing.T) {
	for at, want := range map[routingDaemon]string{
		{Daemon: "bird"}:                 "/run/bird/bird.ctl",
		{Daemon: "bird", Socket: "/a"}:   "/a",
		{Daemon: "frr"}:                  "/run/frr",
		{Daemon: "frr", Directory: "/a"}: "/a",
	} {
		if got := at.at(); got != want {
			t.Errorf("%+v: %s", at, got)
		}
	}
}

func TestPeeringsNamed(t *testing.T) {
	all := peerings{
		{label: "a 192.0.2.1", names: []string{"a", "192.0.2.1"}},
		{label: "b 192.0.2.1", names: []string{"b", "192.0.2.1"}},
		{label: "c 2001:db8::1", names: []string{"c", "2001:db8::1"}},
	}
	for name, tt := range map[string]struct {
		names       []string
		of          peerings
		labels, err string
	}{
		"all":     {nil, all, "a 192.0.2.1 b 192.0.2.1 c 2001:db8::1", ""},
		"name":    {[]string{"b"}, all, "b 192.0.2.1", ""},
		"address": {[]string{"192.0.2.1"}, all, "a 192.0.2.1 b 192.0.2.1", ""},
		"both":    {[]string{"c", "192.0.2.1", "a"}, all, "a 192.0.2.1 b 192.0.2.1 c 2001:db8::1", ""},
		"spelled": {[]string{"2001:DB8:0::1"}, all, "c 2001:db8::1", ""},
		"mapped":  {[]string{"::ffff:192.0.2.1"}, all, "a 192.0.2.1 b 192.0.2.1", ""},
		"typo":    {[]string{"a", "192.0.2.9"}, all, "", "neighbors: there is no 192.0.2.9 (there are a 192.0.2.1, b 192.0.2.1, c 2001:db8::1)"},
		"none":    {[]string{"a"}, nil, "", "neighbors: there is no a (there is none at all)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.of.named("neighbors", tt.names)
			sameError(t, err, tt.err, "")
			var labels []string
			for _, p := range got {
				labels = append(labels, p.label)
			}
			if text := strings.Join(labels, " "); text != tt.labels {
				t.Errorf("got %s, want %s", text, tt.labels)
			}
		})
	}
}

func TestPeeringsJudge(t *testing.T) {
	up, down := peering{label: "a", state: "Up", why: "old", up: true}, peering{label: "b", state: "Idle since 12:00"}
	refused := peering{label: "c", state: "Active for 3s", why: "Connection refused"}
	var many peerings
	for i := range 10 {
		many = append(many, peering{label: strconv.Itoa(i), state: "Idle\nfor 1s"})
	}
	for name, tt := range map[string]struct {
		all    peerings
		enough int
		err    string
	}{
		"one":      {peerings{down, up}, 1, ""},
		"all":      {peerings{up, up}, 2, ""},
		"too few":  {peerings{up, down, refused}, 2, "1 of 3 BGP sessions established, expected 2; not so: b (Idle since 12:00), c (Active for 3s; Connection refused)"},
		"no more":  {peerings{up}, 2, "1 of 1 BGP sessions established, expected 2: there are no more"},
		"none":     {nil, 1, "there is no BGP session at all, expected 1 established"},
		"hundreds": {many, 1, "0 of 10 BGP sessions established, expected 1; not so: " + strings.Repeat("N (Idle for 1s), ", 7) + "N (Idle for 1s) and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.err
			for i := 0; strings.Contains(want, "N "); i++ {
				want = strings.Replace(want, "N ", fmt.Sprintf("%d ", i), 1)
			}
			sameError(t, tt.all.judge("BGP", "established", tt.enough), want, "")
		})
	}
}

// A queue of the daemon that is full is no want of keepcast's own.
func TestUnanswering(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "bgpd.vty")
	full, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	if err := errors.Join(unix.Bind(full, &unix.SockaddrUnix{Name: path}), unix.Listen(full, 0)); err != nil {
		t.Fatal(err)
	}
	waiting, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(waiting)
	if err := unix.Connect(waiting, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	failsLike(t, &BGP{routingDaemon: routingDaemon{Daemon: "frr", Directory: filepath.Dir(path)}, Min: 1}, "the daemon does not accept connections: the queue of its socket is full")
	failsLike(t, &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: path}, Min: 1}, "the daemon does not accept connections: the queue of its socket is full")
}
