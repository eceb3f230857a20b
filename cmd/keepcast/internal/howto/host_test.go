// Package howto has the tests of what docs/howto shows of a service: a host gets the server's
// configuration and keepcast's, each from the file that the page shows, in the place that the
// page names. Nothing in them is replaced. The server runs, and so do the checks.
package howto

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/kernel"
)

// examples is where the files are that the pages show.
const examples = "../../../../packaging/examples"

// keepcastYAML is where the configuration of the page goes.
const keepcastYAML = "/etc/keepcast/keepcast.yaml"

// host is this process in a network, a view of the files and a set of processes of its own.
// What it writes into /etc, /srv, /var and /run is seen by nobody else, and what it has started ends
// with it.
type host struct {
	*testing.T
	cfg     *config.Config
	servers []*server
}

// onHost runs a test again as a host that has these programs of Debian, and calls do there.
func onHost(t *testing.T, programs string, do func(h *host)) {
	t.Helper()
	const mark = "KEEPCAST_TEST_HOST"
	if os.Getenv(mark) != "" {
		h := &host{T: t}
		h.setUp()
		do(h)
		return
	}
	drivertest.NeedsRoot(t, "for namespaces")
	for name := range strings.FieldsSeq(programs) {
		drivertest.Program(t, name)
	}
	// Only for "go test", which takes what it knows of a test that has seen the same files.
	if _, err := os.ReadDir(examples); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	} else if testing.Verbose() {
		t.Log(string(out))
	}
}

// setUp gives the host its network and its files: those of this machine, on which it writes
// in memory.
func (h *host) setUp() {
	h.Helper()
	h.sh(`
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs none /mnt
for dir in etc srv var; do
  mkdir /mnt/$dir /mnt/$dir.work
  mount -t overlay -o lowerdir=/$dir,upperdir=/mnt/$dir,workdir=/mnt/$dir.work overlay /$dir
done
mount -t tmpfs -o mode=755 none /run
mkdir -p /etc/keepcast /run/lock
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
ip link set lo up
ip link add anycast0 type veth peer name eth0 # not every kernel has dummies
ip link set anycast0 up
ip link set eth0 up
ip address add 198.51.100.1/24 dev eth0
ip address add 2001:db8:100::1/64 dev eth0 nodad
`)
}

// sh runs lines of shell.
func (h *host) sh(lines string) string {
	h.Helper()
	out, err := exec.CommandContext(h.Context(), "sh", "-ec", lines).CombinedOutput()
	if err != nil {
		h.Fatalf("%s: %v: %s", lines, err, out)
	}
	return string(out)
}

// example puts a file that a page shows where it belongs.
func (h *host) example(name, path string) {
	h.Helper()
	h.write(path, drivertest.ReadFile(h, filepath.Join(examples, name)))
}

// write writes a file that no page shows.
func (h *host) write(path, text string) {
	h.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.Fatal(err)
	}
	drivertest.WriteFile(h, path, text)
}

// keepcast takes the configuration that a page shows as keepcast would, once the files are
// there that it names. All addresses are withdrawn.
func (h *host) keepcast(name string) {
	h.Helper()
	h.example(name, keepcastYAML)
	cfg, err := config.LoadStrict(keepcastYAML)
	if err != nil {
		h.Fatal(err)
	}
	h.cfg = cfg
	h.presence(driver.Delivered)
}

// presence has the addresses of all services as keepcast would have them.
func (h *host) presence(p driver.Presence) {
	h.Helper()
	k := kernel.New(h.cfg.Interface, slog.New(slog.DiscardHandler))
	defer k.Close()
	state := driver.State{Interface: h.cfg.Interface}
	for i := range h.cfg.Services {
		state.Routes = append(state.Routes, h.cfg.Services[i].Routes(p, false)...)
	}
	if err := k.Apply(h.Context(), state); err != nil {
		h.Fatal(err)
	}
}

// certificate makes one for that name, which this host trusts.
func (h *host) certificate(name, cert, key string) {
	h.Helper()
	h.sh("mkdir -p " + filepath.Dir(cert) + " " + filepath.Dir(key) + `
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj / -addext subjectAltName=DNS:` + name +
		" -out " + cert + " -keyout " + key + `
cat ` + cert + " >>/etc/ssl/certs/ca-certificates.crt")
}
