package checks

import (
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// files returns how many descriptors the test has open.
func files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// withoutFiles calls do while no descriptor can be had.
func withoutFiles(t *testing.T, do func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	defer func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// With 300 HTTP connections held and `ulimit -n 256`, the checks of all 100 healthy
// services failed for want of a descriptor, and keepcast withdrew every one of them.
func TestWithoutDescriptors(t *testing.T) {
	noLeaks(t)
	web, ca := secureServer(t, http.HandlerFunc(website), nil)
	t.Cleanup(web.Client().CloseIdleConnections)
	at := web.Listener.Addr().String()
	bus, _ := drivertest.Bus(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
	startSystemd(t, bus).unit(t, "a.service", "loaded active running")
	running := pidfile(t, os.Getpid())
	secret := secretFile(t, "shared")
	pair := filepath.Join(t.TempDir(), "pair.pem")
	drivertest.WriteFile(t, pair, "")
	for name, c := range map[string]Checker{
		"http":          &HTTP{URL: "http://" + at, Codes: codes(t, "2xx")},
		"http, by name": &HTTP{URL: "http://nowhere.invalid/", Codes: codes(t, "2xx")},
		"https":         &HTTP{URL: web.URL, Codes: codes(t, "2xx"), TLS: TLS{SkipVerify: true}},
		"https, ca":     &HTTP{URL: web.URL, Codes: codes(t, "2xx"), TLS: TLS{CA: ca}},
		"https, cert":   &HTTP{URL: web.URL, Codes: codes(t, "2xx"), TLS: TLS{SkipVerify: true, Cert: pair, Key: pair}},
		"http2":         &HTTP{URL: "http://" + at, Codes: codes(t, "2xx"), HTTP2: "require"},
		"tcp":           &TCP{Address: at},
		"tcp, by name":  &TCP{Address: "nowhere.invalid:1"},
		"tcp, tls":      &TCP{Address: at, Transport: "tls", TLS: TLS{CA: ca}},
		"dns":           &DNS{Server: "127.0.0.1:1", Query: "a"},
		"dns, https":    &DNS{Server: at, Transport: "https", Query: "a", TLS: TLS{CA: ca}},
		"ntp":           &NTP{Address: at},
		"dhcp":          &DHCP{Address: "127.0.0.1:1", Relay: addr("127.0.0.1")},
		"grpc":          &GRPC{Address: at},
		"metrics":       &Metrics{URL: "http://" + at, Query: queryOf(t, "a == 1")},
		"mysql":         &MySQL{Address: at},
		"postgres":      &Postgres{Address: at},
		"redis":         &Redis{Address: at},
		"redis, file":   &Redis{Address: at, PasswordFile: pair},
		"redis, socket": &Redis{Address: "/nonexistent"},
		"kerberos":      &Kerberos{Server: "127.0.0.1:1", Realm: "A", Principal: "a"},
		"kerberos, tcp": &Kerberos{Server: at, Transport: "tcp", Realm: "A", Principal: "a"},
		"radius":        &Radius{Address: "127.0.0.1:1", SecretFile: secret},
		"ldap":          &LDAP{Address: at, Filter: "(a=*)"},
		"ldap, by name": &LDAP{Address: "nowhere.invalid", Filter: "(a=*)"},
		"ldap, tls":     &LDAP{Address: at, Transport: "tls", TLS: TLS{CA: ca}},
		"ldap, socket":  &LDAP{Address: "/nonexistent/ldapi", Transport: "tcp", Filter: "(a=*)"},
		"ldap, simple":  &LDAP{Address: at, Bind: "simple", PasswordFile: running},
		"ike":           &IKE{Address: "127.0.0.1:1"},
		"openvpn":       &OpenVPN{Address: "127.0.0.1:1", KeyDirection: "1"},
		"openvpn, key":  &OpenVPN{Address: "127.0.0.1:1", CryptFile: pair},
		"wireguard":     &WireGuard{Interface: "lo", Socket: "/nonexistent"},
		"exec":          &Exec{Command: []string{"true"}},
		"ping":          &Ping{Address: "127.0.0.1", Count: 1, MinAnswers: 1, Size: 8},
		"ping, by name": &Ping{Address: "nowhere.invalid", Count: 1, MinAnswers: 1, Size: 8},
		"udp":           &UDP{Address: at, Send: "a", Quiet: time.Millisecond},
		"udp, by name":  &UDP{Address: "nowhere.invalid:1", Send: "a", Quiet: time.Millisecond},
		"syslog":        &Syslog{Address: at, Transport: "udp", Quiet: time.Millisecond},
		"syslog, tls":   &Syslog{Address: at, Transport: "tls", TLS: TLS{CA: ca}, Quiet: time.Millisecond},
		"tftp":          &TFTP{Address: at, File: "a"},
		"tftp, by name": &TFTP{Address: "nowhere.invalid:1", File: "a"},
		"snmp":          &SNMP{Address: at, OID: "1.3"},
		"snmp, file":    &SNMP{Address: at, OID: "1.3", CommunityFile: pair},
		"snmp, by name": &SNMP{Address: "nowhere.invalid:1", OID: "1.3"},
		"pim":           &PIM{Directory: "/nonexistent", Neighbors: 1},
		"smtp":          &SMTP{Address: at},
		"imap":          &IMAP{Address: at},
		"imap, login":   &IMAP{Address: at, User: "a", PasswordFile: pair},
		"tls":           &Certificate{Address: at, TLS: TLS{CA: ca}},
		"tls, file":     &Certificate{File: ca},
		"systemd":       &Systemd{Unit: "a.service"},
		"listener":      &Listener{Address: netip.MustParseAddrPort(at), Network: "tcp", MaxQueue: 50, MaxDrops: -1},
		"process":       &Process{PIDFile: running},
		"process, unit": &Process{Unit: "a.service"},
		"process, exe":  &Process{Exe: "/nonexistent", Count: 1},
		"file":          &File{Path: pair, Content: regexp.MustCompile("a")},
		"load":          &Load{MaxLoad: 1e6},
		"address":       &Address{Address: addr("127.0.0.1")},
		"interface":     &Interface{Interface: "lo"},
		"route":         to("0.0.0.0/0"),
		"bgp, bird":     &BGP{routingDaemon: routingDaemon{Daemon: "bird"}, Min: 1},
		"bgp, frr":      &BGP{routingDaemon: routingDaemon{Daemon: "frr"}, Min: 1},
		"bfd, bird":     &BFD{routingDaemon: routingDaemon{Daemon: "bird"}, Min: 1},
		"bfd, frr":      &BFD{routingDaemon: routingDaemon{Daemon: "frr"}, Min: 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := files(t)
			var err error
			withoutFiles(t, func() { err = health.Once(t.Context(), c, 500*time.Millisecond) })
			if !health.IsVoid(err) {
				t.Errorf("not void: %v", err)
			}
			drivertest.Eventually(t, "the descriptors are closed again", func() bool { return files(t) == before })
		})
	}
}

// The library reads the certificates of the system once for all. Had keepcast no
// descriptor then, every https check failed until the next restart.
func TestCertificatesOfTheSystem(t *testing.T) {
	const mark = "KEEPCAST_TEST_CERTIFICATES"
	if os.Getenv(mark) == "" {
		// In a process of its own: here they may be read already.
		cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), mark+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	withoutFiles(t, func() {
		if _, err := (TLS{}).config("a"); !health.IsVoid(err) {
			t.Errorf("without descriptors: %v", err)
		}
	})
	c, err := (TLS{}).config("a")
	if err != nil || c.RootCAs == nil {
		t.Errorf("with descriptors again: %v, %v", c, err)
	}
}
