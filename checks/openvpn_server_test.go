package checks

import (
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// vpnServers starts an OpenVPN server for each configuration, on the ports from 2000 on. It returns
// what they log, and ends them at the end of the test.
func vpnServers(t *testing.T, dir string, confs []string) (logs []*drivertest.Buffer, daemons []*exec.Cmd) {
	for i, conf := range confs {
		log := new(drivertest.Buffer)
		file := filepath.Join(dir, string(rune('a'+i))+".conf")
		drivertest.WriteFile(t, file, "mode server\ntls-server\ndev tun\nlocal 127.0.0.1\ndh none\nverb 4\ncd "+dir+
			"\nca cert.pem\ncert cert.pem\nkey key.pem\nport 200"+string(rune('0'+i))+"\n"+conf)
		daemon := exec.Command("openvpn", "--config", file)
		daemon.Stdout, daemon.Stderr = log, log
		if err := daemon.Start(); err != nil {
			t.Error(err)
			continue
		}
		t.Cleanup(func() {
			daemon.Process.Kill()
			daemon.Wait()
			if t.Failed() {
				t.Log(conf, log)
			}
		})
		logs, daemons = append(logs, log), append(daemons, daemon)
	}
	return logs, daemons
}

// vpnFiles makes a certificate and the keys of OpenVPN.
func vpnFiles(t *testing.T, program, dir string) {
	web, cert := secureServer(t, http.NotFoundHandler(), nil)
	private, err := x509.MarshalPKCS8PrivateKey(web.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"cert.pem": cert, "key.pem": pemFile(t, "PRIVATE KEY", private)} {
		if err := os.Rename(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"--genkey secret static.key", "--genkey secret other.key", "--genkey tls-crypt-v2-server server.key",
		"--tls-crypt-v2 server.key --genkey tls-crypt-v2-client client.key",
	} {
		cmd := exec.CommandContext(within(t), program, strings.Fields(args)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args, err, out)
		}
	}
}

// TestOpenVPNServer asks real servers.
func TestOpenVPNServer(t *testing.T) {
	program := drivertest.Program(t, "openvpn")
	dir := t.TempDir()
	vpnFiles(t, program, dir)
	static, client := filepath.Join(dir, "static.key"), filepath.Join(dir, "client.key")
	servers := []struct {
		conf string
		c    OpenVPN
	}{
		{"proto udp", OpenVPN{}},
		{"proto tcp-server", OpenVPN{Transport: "tcp"}},
		{"proto udp\ntls-auth static.key 0", OpenVPN{AuthFile: static, KeyDirection: "1", Auth: "SHA1"}},
		{"proto tcp-server\nauth SHA512\ntls-auth static.key", OpenVPN{Transport: "tcp", AuthFile: static, KeyDirection: "none", Auth: "SHA512"}},
		{"proto udp\nauth SHA384\ntls-auth static.key 1", OpenVPN{AuthFile: static, KeyDirection: "0", Auth: "SHA384"}},
		{"proto udp\ntls-crypt static.key", OpenVPN{CryptFile: static}},
		{"proto udp\ntls-crypt-v2 server.key", OpenVPN{CryptV2File: client}},
		{"proto udp\ntls-crypt-v2 server.key force-cookie", OpenVPN{CryptV2File: client}},
		{"proto tcp-server\ntls-crypt-v2 server.key", OpenVPN{Transport: "tcp", CryptV2File: client}},
	}
	var confs []string
	for i := range servers {
		servers[i].c.Address = "127.0.0.1:200" + string(rune('0'+i))
		confs = append(confs, servers[i].conf)
	}
	inSpace(t, "ip link set lo up", func() {
		logs, daemons := vpnServers(t, dir, confs)
		for i, s := range servers {
			if err := s.c.Validate(); err != nil {
				t.Error(err)
			}
			if !drivertest.WaitFor(func() bool { return strings.Contains(logs[i].String(), "Initialization Sequence Completed") }) {
				t.Errorf("%s does not start", s.conf)
			}
			for range 3 {
				if err := s.c.Check(within(t)); err != nil {
					t.Errorf("%s: %v", s.conf, err)
				}
			}
			if s.c.Transport == "" && strings.Contains(logs[i].String(), "multi_create_instance") {
				t.Errorf("%s: something is left", s.conf)
			}
		}
		const signed = " (a server does not answer what is signed with another key)"
		const noAnswer = "ADDR: waiting for the answer to the reset: timed out"
		other := servers[5].c
		other.CryptFile = filepath.Join(dir, "other.key")
		sameError(t, other.Check(shortly(t)), noAnswer+signed, other.Address)
		none := OpenVPN{Address: servers[2].c.Address}
		sameError(t, none.Check(shortly(t)), noAnswer+" (a server with tls-auth or tls-crypt does not answer without its key)", none.Address)
		way := servers[2].c
		way.KeyDirection = "0"
		sameError(t, way.Check(shortly(t)), noAnswer+signed, way.Address)
		overTCP := servers[3].c
		overTCP.KeyDirection = "1"
		sameError(t, overTCP.Check(within(t)), "ADDR: waiting for the answer to the reset: closed by the other side"+signed, overTCP.Address)
		suspend(t, daemons[0])
		hung := servers[0].c
		sameError(t, hung.Check(shortly(t)), noAnswer+" (a server with tls-auth or tls-crypt does not answer without its key)", hung.Address)
	})
}
