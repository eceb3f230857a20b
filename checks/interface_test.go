package checks

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInterface(t *testing.T) {
	noLeaks(t)
	s := newSpace(t, "link add v0 type veth peer name v1", "link add ifb0 type ifb", "tuntap add tun0 mode tun")
	lo, a, b, ifb, tun := &Interface{"lo"}, &Interface{"v0"}, &Interface{"v1"}, &Interface{"ifb0"}, &Interface{"tun0"}
	s.fails(&Interface{"none"}, "there is no interface none", true)
	s.fails(lo, "", false)
	s.fails(a, "v0 is down: run ip link set v0 up", true)
	s.sees(a, "link: v0 of type veth: <> state DOWN")
	s.ip("link set v0 up")
	s.fails(a, "v0 has no carrier (state LOWERLAYERDOWN)", true)
	s.sees(a, "link: v0 of type veth: <NO-CARRIER,UP> state LOWERLAYERDOWN")
	s.ip("link set v1 up")
	s.fails(a, "", false)
	s.fails(b, "", false)
	s.sees(a, "link: v0 of type veth: <UP,LOWER_UP> state UP")
	s.ip("link set ifb0 up")
	s.fails(ifb, "", false)
	s.sees(ifb, "link: ifb0 of type ifb: <UP,LOWER_UP> state UNKNOWN")
	s.ip("link set tun0 up")
	s.fails(tun, "tun0 has no carrier (state DOWN)", true)
	s.ip("link set ifb0 state dormant")
	s.fails(ifb, "ifb0 is in state DORMANT, expected UP", false)
}

func TestInterfaceWatch(t *testing.T) {
	noLeaks(t)
	s := newSpace(t)
	a := &Interface{"v0"}
	s.follows(
		a,
		change{"link add v0 type veth peer name v1", "v0 is down: run ip link set v0 up"},
		change{"link set v0 up", "v0 has no carrier (state LOWERLAYERDOWN)"},
		change{"link set v1 up", ""},
		change{"link set v1 down", "v0 has no carrier (state LOWERLAYERDOWN)"},
		change{"link set v1 up", ""},
		change{"link del v0", "there is no interface v0"},
		change{"link add v0 type ifb", "v0 is down: run ip link set v0 up"},
		change{"link set v0 name i9", "there is no interface v0"},
		change{"link set i9 name v0", "v0 is down: run ip link set v0 up"},
	)
}

func TestInterfaceWatchOthers(t *testing.T) {
	s := newSpace(t, "link add ifb0 type ifb")
	s.passesOver(&Interface{"v0"}, "link add v0 type ifb", "link set ifb0 up", "link set ifb0 down", "link set ifb0 name i9", "link del i9")
}

// FuzzConcernsLink meets notices that are cut short.
func FuzzConcernsLink(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, unix.SizeofIfInfomsg+8))
	f.Fuzz(func(_ *testing.T, data []byte) {
		n := syscall.NetlinkMessage{Data: data}
		concernsLink(n, "a", map[int32]bool{1: true})
		(&Address{Address: addr("192.0.2.1")}).concerns(n)
	})
}

func TestInterfaceValidate(t *testing.T) {
	for name, want := range map[string]string{
		"eth0":             "",
		"eth0.100":         "",
		"a23456789012345":  "",
		"a234567890123456": `interface: "a234567890123456" is longer than 15 bytes`,
		"a/b":              `interface: "a/b" is no name of an interface`,
		"a b":              `interface: "a b" is no name of an interface`,
		"eth0:1":           `interface: "eth0:1" is no name of an interface`,
		"..":               `interface: ".." is no name of an interface`,
	} {
		t.Run(name, func(t *testing.T) { sameError(t, (&Interface{name}).Validate(), want, "") })
	}
}
