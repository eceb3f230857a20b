package checks

import (
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// account is the user of a server that refuses to run as root.
type account struct {
	name     string
	uid, gid uint32
}

// accountOf returns the account that Debian's package of a server made; this one if the test
// does not run as root.
func accountOf(t *testing.T, name string) account {
	t.Helper()
	of, err := user.Current()
	if os.Geteuid() == 0 {
		of, err = user.Lookup(name)
	}
	if err != nil {
		drivertest.Missing(t, err.Error())
	}
	uid, _ := strconv.ParseUint(of.Uid, 10, 32)
	gid, _ := strconv.ParseUint(of.Gid, 10, 32)
	return account{of.Username, uint32(uid), uint32(gid)}
}

// command returns a command that runs as the account, and dies with the test.
func (a account) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// run runs a command as the account.
func (a account) run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := a.command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// start starts a server as the account, and kills it when the test is over. The server
// writes its log to the buffer that it returns.
func (a account) start(t *testing.T, program string, args ...string) *drivertest.Buffer {
	t.Helper()
	log := new(drivertest.Buffer)
	daemon := a.command(program, args...)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return log
}

// dir returns an empty directory of the account.
func (a account) dir(t *testing.T) string {
	t.Helper()
	dir := drivertest.SocketDir(t)
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pair writes a certificate for 127.0.0.1 with its key for a server that runs as the account.
func (a account) pair(t *testing.T) (cert, key string) {
	t.Helper()
	s, file := secureServer(t, http.NotFoundHandler(), nil)
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := a.dir(t)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	drivertest.WriteFile(t, cert, drivertest.ReadFile(t, file))
	drivertest.WriteFile(t, key, drivertest.ReadFile(t, pemFile(t, "PRIVATE KEY", der)))
	if err := errors.Join(os.Chmod(key, 0o600), os.Chown(key, int(a.uid), int(a.gid))); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// fitAtLast waits until a server that was started answers.
func fitAtLast(t *testing.T, c Checker) {
	t.Helper()
	var err error
	if !drivertest.WaitFor(func() bool { err = c.Check(within(t)); return err == nil }) {
		t.Fatalf("not fit: %v", err)
	}
}
