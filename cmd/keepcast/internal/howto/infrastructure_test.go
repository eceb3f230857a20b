package howto

import (
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestChrony has one of the sources that the page names.
func TestChrony(t *testing.T) {
	onHost(t, "chronyd", func(h *host) {
		h.example("chrony.conf", "/etc/chrony/conf.d/anycast.conf")
		h.write("/etc/source.conf", "bindaddress 198.51.100.31\nallow\nlocal stratum 2\ncmdport 0\nbindcmdaddress /\npidfile /run/source.pid\n")
		h.sh("ip address add 198.51.100.31/24 dev eth0")
		h.starts("chronyd", "-d", "-x", "-f", "/etc/source.conf")
		h.keepcast("ntp.yaml")
		h.lives(h.starts("chronyd", "-d", "-x"), nil)
	})
}

func TestRsyslog(t *testing.T) {
	onHost(t, "rsyslogd openssl", func(h *host) {
		const conf = "/etc/rsyslog.d/10-anycast.conf"
		h.example("rsyslog.conf", conf)
		h.certificate("syslog.example.com", "/etc/rsyslog.tls/syslog.example.com.crt", "/etc/rsyslog.tls/syslog.example.com.key")
		h.keepcast("syslog.yaml")
		rsyslog := h.starts("rsyslogd", "-n", "-f", conf) // without the log of the kernel, which is that of the machine
		h.comesAndGoes(nil)
		h.stops(rsyslog, "syslog/space")
	})
}

// TestKea shows, too, why the page wants the address on lo: without it Kea ends at once.
func TestKea(t *testing.T) {
	onHost(t, "kea-dhcp4", func(h *host) {
		h.example("kea-dhcp4.conf", "/etc/kea/kea-dhcp4.conf")
		h.sh("mkdir -p /run/kea /run/lock/kea /var/lib/kea") // as its unit does
		h.keepcast("dhcp.yaml")
		kea := func() *server {
			return h.starts("env", "KEA_LOCKFILE_DIR=/run/lock/kea", "kea-dhcp4", "-c", "/etc/kea/kea-dhcp4.conf")
		}
		early := kea()
		drivertest.Eventually(t, "Kea ends", h.ends)
		h.stops(early)
		h.sh("ip address add 192.0.2.67/32 dev lo")
		h.lives(kea(), nil)
	})
}

func TestTFTP(t *testing.T) {
	onHost(t, "in.tftpd", func(h *host) {
		h.example("tftpd-hpa.conf", "/etc/default/tftpd-hpa")
		h.write("/srv/tftp/pxelinux.0", "an image")
		h.keepcast("tftp.yaml")
		h.lives(h.starts("sh", "-c", `. /etc/default/tftpd-hpa
exec in.tftpd -L --user "$TFTP_USERNAME" --address "$TFTP_ADDRESS" $TFTP_OPTIONS "$TFTP_DIRECTORY"`), nil)
	})
}
