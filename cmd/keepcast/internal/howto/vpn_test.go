package howto

import (
	"os"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// noSystemd is what the check of a unit says on a host without systemd, which these hosts are.
// The machine test has it.
var noSystemd = found{"ike/daemon": "system bus not found"}

func TestStrongSwan(t *testing.T) {
	onHost(t, "charon-systemd swanctl openssl", func(h *host) {
		h.example("swanctl.conf", "/etc/swanctl/conf.d/anycast.conf")
		h.certificate("vpn.example.com", "/etc/swanctl/x509/vpn.example.com.crt", "/etc/swanctl/private/vpn.example.com.key")
		h.keepcast("ike.yaml")
		charon := h.starts("charon-systemd")
		drivertest.Eventually(t, "charon has its socket", func() bool { _, err := os.Stat("/run/charon.vici"); return err == nil })
		h.sh("swanctl --load-all --noprompt") // as its unit does
		h.lives(charon, noSystemd)
	})
}

func TestOpenVPN(t *testing.T) {
	onHost(t, "openvpn openssl", func(h *host) {
		const dir = "/etc/openvpn/server/"
		h.example("openvpn.conf", dir+"server.conf")
		h.certificate("vpn.example.com", dir+"server.crt", dir+"server.key")
		h.sh("cd " + dir + `
cp server.crt ca.crt
openvpn --genkey secret tc.key
install -m 640 tc.key /etc/keepcast/openvpn.key`)
		h.keepcast("openvpn.yaml")
		server := h.starts("openvpn", "--cd", dir, "--config", "server.conf")
		h.comesAndGoes(nil)
		h.stops(server, "openvpn/certificate")
	})
}

// TestWireGuard has the interface be one of wireguard-go where the kernel knows none.
func TestWireGuard(t *testing.T) {
	onHost(t, "wg wg-quick wireguard-go", func(h *host) {
		h.example("wg0.conf", "/etc/wireguard/wg0.conf")
		h.sh("umask 077; wg genkey >/etc/wireguard/wg0.key")
		h.keepcast("wireguard.yaml")
		h.sh("wg-quick up wg0")
		h.comesAndGoes(nil)
		h.sh("wg-quick down wg0")
		h.says("wg0 is down", found{"wireguard/interface": "wg0: no such interface"})
	})
}
