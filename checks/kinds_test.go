package checks

import (
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/checks/health"
)

func TestKindsHere(t *testing.T) {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
		if k.Doc == "" || k.Example == "" {
			t.Errorf("kind %s has no doc or no example", k.Name)
		}
		if _, ok := k.New().(Validator); !ok {
			t.Errorf("kind %s has no Validate", k.Name)
		}
		_, watches := k.New().(health.Watcher)
		_, aimed := k.New().(Aimed)
		if _, ported := k.New().(Ported); ported != (aimed && k.Name != "ping") {
			t.Errorf("kind %s says which port it asks: %t", k.Name, ported)
		}
		if learns := watches || aimed && k.Name != "ping"; learns != (k.AtOnce != "") {
			t.Errorf("kind %s learns of something by itself: %t, and says %q", k.Name, learns, k.AtOnce)
		}
	}
	for name := range strings.FieldsSeq(`address bfd bgp dhcp dns exec file grpc http ike imap interface kerberos ldap listener load metrics mysql ntp openvpn pim ping postgres process push radius redis route smtp snmp syslog systemd tcp tftp tls udp wireguard`) {
		if !slices.Contains(names, name) {
			t.Errorf("kind %s is not registered", name)
		}
	}
	for name := range strings.FieldsSeq(`address file interface process push route systemd wireguard`) {
		if k, err := KindByName(name); err != nil {
			t.Error(err)
		} else if _, ok := k.New().(health.Watcher); !ok {
			t.Errorf("%s is no Watcher", name)
		}
	}
	var instant []string
	for _, k := range Kinds() {
		if k.Instant {
			instant = append(instant, k.Name)
		}
	}
	if got := strings.Join(instant, " "); got != "address interface listener push" {
		t.Errorf("a run takes no time: %s", got)
	}
	_, err := KindByName("htpp")
	sameError(t, err, `no check kind "htpp" (known: `+strings.Join(names, ", ")+`)`, "")
}
