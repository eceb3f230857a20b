package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// source is an interface of host b that a source of multicast sends from: b is both its first
// router and, like a, a rendezvous point.
const (
	source        = "source0"
	sourceAddress = "10.99.9.1"
)

// TestMulticast has two rendezvous points with one address. The router of a receiver joins at
// a, which learns of the source by MSDP from b. When a's pimd dies, the router joins at b.
// Each time the receiver asks for a group that nobody has asked for, so that its router can't
// find the source but by the RP. The router knows the source of the first one by then: that
// goes on.
func TestMulticast(t *testing.T) {
	s := newRPStand(t)
	b := s.Host("b")
	address := Prefixes(Anycast4)
	s.must(s.Router().AwaitNextHops(s.ctx, address, "a"))
	s.serviceSettled("a", "rp", "announced")
	first := s.newFeed("239.1.1.1")
	s.arrives(first, "a")
	s.tells(s.Host("a").Node, "show ip msdp sa json", func(said string) bool {
		return strings.Contains(said, `"source":"`+sourceAddress+`"`) && strings.Contains(said, `"rp":"`+b.Addr4().String()+`"`)
	})

	s.must(s.process("a", "pimd").Kill(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, address, "b"))
	s.arrives(s.newFeed("239.1.1.2"), "b")
	s.arrives(first, "b")
	s.serviceSettled("b", "rp", "degraded") // its MSDP peer is gone, and it serves all the same

	s.must(s.process("a", "pimd").Start(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, address, "a"))
	s.serviceSettled("a", "rp", "announced")
	s.arrives(s.newFeed("239.1.1.3"), "a")

	s.keepcast("a", "drain", "rp", "--for", "1h", "--reason", "CHG-1")
	s.must(s.Router().AwaitNextHops(s.ctx, address, "b"))
	s.arrives(s.newFeed("239.1.1.4"), "b")
}

// newRPStand is a stand whose hosts run the configuration of docs/howto/multicast.md.
func newRPStand(t *testing.T) *stand {
	t.Helper()
	example := func(name string) string { return drivertest.ReadFile(t, filepath.Join(examples, name)) }
	// The two differ in their own addresses only.
	other := strings.NewReplacer("10.99.1.1", "10.99.2.1", "10.99.2.1", "10.99.1.1")
	rp := example("anycast-rp.conf")
	if _, err := program(os.Getenv("KEEPCAST_LAB_ROOT"), "mgmtd"); err == nil { // not the FRR 8.4 of Debian 12
		rp += example("anycast-rp-frr10.conf")
	}
	s := newStand(t, Options{Daemon: FRR, Protocol: OSPF, Extra: map[string]string{
		"a": rp,
		"b": other.Replace(rp) + "interface " + source + "\n ip address " + sourceAddress + "/24\n ip ospf area 0\n ip ospf passive\n ip pim\nexit\n",
		"r": example("anycast-rp-router.conf"),
	}}, func(h *Host, driver string) string {
		config := strings.Replace(example("anycast-rp.yaml"), DriverConfig(FRR, OSPF), driver, 1)
		if h.Name() == "b" {
			config = other.Replace(config)
		}
		return "defaults: {interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 2, fall: 2}\n" + config
	})
	t.Cleanup(func() {
		for _, n := range []*Node{s.Host("a").Node, s.Host("b").Node, s.Router().Node} {
			if t.Failed() {
				s.dumpPIM(n)
			}
		}
	})
	b := s.Host("b")
	s.must(b.addAnycastInterface(source))
	_, err := b.Output(s.ctx, "ip", "link", "set", source, "multicast", "on")
	s.must(err)
	return s
}

// feed is a group that the client has joined, and to which the source sends.
type feed struct {
	to               *net.UDPAddr
	receiver, sender net.PacketConn
	sent             int
}

func (s *stand) newFeed(group string) *feed {
	s.t.Helper()
	m := &feed{to: &net.UDPAddr{IP: net.ParseIP(group), Port: 5000}}
	s.must(s.Client().Do(func() error {
		dev, err := net.InterfaceByName(uplink)
		if err == nil {
			m.receiver, err = net.ListenMulticastUDP("udp4", dev, m.to)
		}
		return err
	}))
	s.t.Cleanup(func() { m.receiver.Close() })
	s.must(s.Host("b").Do(func() error {
		dev, err := net.InterfaceByName(source)
		if err == nil {
			m.sender, err = net.ListenPacket("udp4", sourceAddress+":0")
		}
		if err != nil {
			return err
		}
		s.t.Cleanup(func() { m.sender.Close() })
		options := ipv4.NewPacketConn(m.sender)
		return errors.Join(options.SetMulticastInterface(dev), options.SetMulticastTTL(16))
	}))
	return m
}

// arrives waits until the router has joined the group by way of that host, and what the source
// sends from now on reaches the client.
func (s *stand) arrives(m *feed, host string) {
	s.t.Helper()
	group := m.to.IP.String()
	s.tells(s.Router().Node, "show ip pim upstream json", func(said string) bool {
		var groups map[string]map[string]struct{ InboundInterface string }
		return json.Unmarshal([]byte(said), &groups) == nil && groups[group]["*"].InboundInterface == host
	})
	before := m.sent
	s.must(Until(s.ctx, "the stream of "+group, func(context.Context) error {
		m.sent++
		if _, err := m.sender.WriteTo([]byte(strconv.Itoa(m.sent)), m.to); err != nil {
			return err
		}
		if err := m.receiver.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		said := make([]byte, 64)
		n, from, err := m.receiver.ReadFrom(said)
		if err != nil {
			return err
		}
		if number, err := strconv.Atoi(string(said[:n])); err != nil || number <= before || !strings.HasPrefix(from.String(), sourceAddress+":") {
			return fmt.Errorf("%q from %s", said[:n], from)
		}
		return nil
	}))
}

// tells waits until pimd of a node says what is wanted.
func (s *stand) tells(n *Node, command string, wanted func(said string) bool) {
	s.t.Helper()
	s.must(Until(s.ctx, command+" of "+n.Name(), func(ctx context.Context) error {
		said, err := n.show(ctx, "pimd", command)
		if err == nil && !wanted(said) {
			err = fmt.Errorf("it says %s", said)
		}
		return err
	}))
}

// dumpPIM shows what pimd of a node knows.
func (s *stand) dumpPIM(n *Node) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 5*time.Second)
	defer cancel()
	for _, command := range []string{"show ip mroute", "show ip pim upstream", "show ip pim rp-info", "show ip igmp groups", "show ip msdp sa"} {
		said, err := n.show(ctx, "pimd", command)
		s.t.Logf("%s of %s:\n%s%v", command, n.Name(), said, err)
	}
}
