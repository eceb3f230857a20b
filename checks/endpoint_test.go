package checks

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// secretFile writes a file for password_file.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	drivertest.WriteFile(t, file, text)
	return file
}

// checkOf runs a check that is expected to end with that error, in little time if that is a
// timeout.
func checkOf(t *testing.T, c Checker, want, addr string) {
	t.Helper()
	ctx := within(t)
	if strings.HasSuffix(want, "timed out") {
		ctx = shortly(t)
	}
	sameError(t, c.Check(ctx), want, addr)
}

func TestEndpointValidate(t *testing.T) {
	long := "/" + strings.Repeat("a", maxSocketPath)
	for name, tt := range map[string]struct {
		at  endpoint
		err string
	}{
		"port":        {at: endpoint{address: "127.0.0.1:25", transport: "tcp"}},
		"name":        {at: endpoint{address: "db.example.com:25"}},
		"socket":      {at: endpoint{address: "/run/x.sock", transport: "tcp"}},
		"tls":         {at: endpoint{address: "[::1]:25", transport: "tls", tls: TLS{SkipVerify: true}}},
		"no port":     {at: endpoint{address: "127.0.0.1"}, err: `address: "127.0.0.1" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"no host":     {at: endpoint{address: ":25"}, err: `address: ":25" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"path":        {at: endpoint{address: "run/x"}, err: `address: "run/x" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"port 0":      {at: endpoint{address: "127.0.0.1:0"}, err: `address: "0" is no port from 1 to 65535`},
		"no address":  {at: endpoint{address: "1.2.3:25"}, err: `address: "1.2.3" is no address`},
		"socket, tls": {at: endpoint{address: "/run/x", transport: "tls"}, err: "transport: tls is not spoken over a unix socket"},
		"tls unused":  {at: endpoint{address: "/run/x", tls: TLS{CA: "/x"}}, err: "tls: not for a unix socket"},
		"plain":       {at: endpoint{address: "127.0.0.1:1", tls: TLS{CA: "/x"}}, err: "tls: only with transport: tls"},
		"cert alone":  {at: endpoint{address: "127.0.0.1:1", transport: "tls", tls: TLS{Cert: "/x"}}, err: "tls: cert and key go together, only one is set"},
		"just short":  {at: endpoint{address: long[1:]}, err: `address: "` + long[1:] + `" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"longest":     {at: endpoint{address: long[:maxSocketPath]}},
		"too long":    {at: endpoint{address: long}, err: `address: "` + long + `" is longer than the 107 bytes that a unix socket may have`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.at.validate(), tt.err, "") })
	}
}

// A secret that keepcast may not read is one that somebody put there as root.
func TestUnreadableSecret(t *testing.T) {
	drivertest.NeedsRoot(t, "to be another user")
	file := secretFile(t, "secret\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	const advice = "permission denied: the user that keepcast runs as has to be able to read it, as with chown root:keepcast and chmod 640"
	for name, tt := range map[string]struct {
		read func() error
		want string
	}{
		"first line": {func() error { _, err := secretIn("secret_file", file); return err }, "secret_file: open " + file + ": " + advice},
		"ldap":       {func() error { _, err := (&LDAP{PasswordFile: file}).password(); return err }, "password_file: open " + file + ": " + advice},
		"openvpn":    {func() error { _, err := between(file, "key"); return err }, "open " + file + ": " + advice},
		"ca":         {func() error { _, err := TLS{CA: file}.config(""); return err }, "tls.ca: open " + file + ": " + advice},
		"key":        {func() error { _, err := TLS{Cert: file, Key: file}.config(""); return err }, "tls.cert: open " + file + ": " + advice},
		"missing":    {func() error { _, err := secretIn("secret_file", "/none"); return err }, "secret_file: open /none: no such file or directory"},
	} {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // for good: the thread dies with the goroutine
			if _, err := unix.SetfsuidRetUid(65534); err != nil {
				done <- err
				return
			}
			done <- tt.read()
		}()
		err := <-done
		t.Run(name, func(t *testing.T) { sameError(t, err, tt.want, "") })
	}
}

func TestEndpointTarget(t *testing.T) {
	for address, want := range map[string]netip.Addr{
		"127.0.0.1:25":         netip.MustParseAddr("127.0.0.1"),
		"[::ffff:192.0.2.1]:1": netip.MustParseAddr("192.0.2.1"),
		"db.example.com:25":    {},
		"/run/x:1":             {},
		"nothing":              {},
	} {
		if got := (endpoint{address: address}).target(); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

// Where nobody listens on a socket the server is gone for certain. One that is not there may
// be on its way.
func TestEndpointSocket(t *testing.T) {
	dir := drivertest.SocketDir(t)
	left, none, full := filepath.Join(dir, "left"), filepath.Join(dir, "none"), filepath.Join(dir, "full")
	l, err := net.Listen("unix", left)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	// Nobody accepts: one connection waits, and there is no room for another.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: full}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("unix", full)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	for name, tt := range map[string]struct {
		path    string
		err     string
		certain bool
	}{
		"nobody listens": {left, "ADDR: dial unix ADDR: connect: connection refused", true},
		"not there":      {none, "ADDR: dial unix ADDR: connect: no such file or directory", false},
		"full":           {full, "ADDR: the server does not accept connections: the queue of its socket is full", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&Redis{Address: tt.path}).Check(within(t))
			sameError(t, err, tt.err, tt.path)
			if health.IsCertain(err) != tt.certain || health.IsVoid(err) {
				t.Errorf("certain: %t, void: %t", health.IsCertain(err), health.IsVoid(err))
			}
		})
	}
}

func TestPasswordIn(t *testing.T) {
	for name, tt := range map[string]struct{ text, want, err string }{
		"line":       {text: "geheim\n", want: "geheim"},
		"no newline": {text: "geheim", want: "geheim"},
		"lines":      {text: " ge heim \r\nmore\n", want: " ge heim "},
		"empty":      {err: "password_file: the first line of ADDR is empty"},
		"first line": {text: "\ngeheim\n", err: "password_file: the first line of ADDR is empty"},
		"NUL":        {text: "ge\x00heim", err: "password_file: the first line of ADDR has a NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			file := secretFile(t, tt.text)
			got, err := passwordIn(file)
			sameError(t, err, tt.err, file)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What the settings name is looked at: the password, the certificates, or both.
func TestEndpointHost(t *testing.T) {
	file, none := secretFile(t, "geheim\n"), "/nonexistent"
	missing := endpoint{tls: TLS{CA: none}}
	for name, tt := range map[string]struct {
		look func() ([]string, error)
		err  string
	}{
		"password":                 {look: endpoint{}.host(file)},
		"no password":              {look: endpoint{}.host(none), err: "password_file: open /nonexistent: no such file or directory"},
		"certificate":              {look: missing.host(""), err: "tls.ca: open /nonexistent: no such file or directory"},
		"password, no certificate": {look: missing.host(file), err: "tls.ca: open /nonexistent: no such file or directory"},
		"neither is to be found":   {look: missing.host(none), err: "password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.look()
			sameError(t, err, tt.err, "")
		})
	}
	if password, err := passwordIn(""); password != "" || err != nil {
		t.Errorf("no file: got %q, %v", password, err)
	}
	if (endpoint{}).host("") != nil {
		t.Error("there is a look at no file")
	}
}

// sameSight compares what a run saw, but how it connected, with lines "what: text".
func sameSight(t *testing.T, s *Sight, want ...string) {
	t.Helper()
	var got []string
	seen, _ := s.Seen()
	for _, one := range seen {
		if one.What != "connected" && one.What != "tls" && one.What != "certificate" {
			got = append(got, one.What+": "+one.Text)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
