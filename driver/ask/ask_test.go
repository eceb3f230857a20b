package ask

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// route is the question where packets for an address go.
func route(addr string) *nl.NetlinkRequest {
	q := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	q.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: 32}})
	q.AddData(nl.NewRtAttr(unix.RTA_DST, netip.MustParseAddr(addr).AsSlice()))
	return q
}

// addresses is the question for all addresses.
func addresses() *nl.NetlinkRequest {
	q := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	q.AddData(nl.NewIfInfomsg(unix.AF_INET))
	return q
}

func newAsker(t *testing.T) *Asker {
	t.Helper()
	a := New(netns.None(), unix.NETLINK_ROUTE)
	t.Cleanup(a.Close)
	return a
}

// local asks where 127.0.0.1 is, to see that an Asker works.
func local(a *Asker) error {
	answers, kind := 0, byte(0)
	err := a.Ask(route("127.0.0.1"), func(data []byte) { answers, kind = answers+1, nl.DeserializeRtMsg(data).Type })
	if err == nil && (answers != 1 || kind != unix.RTN_LOCAL) {
		err = fmt.Errorf("%d answers of type %d", answers, kind)
	}
	return err
}

// working returns an Asker that has its socket.
func working(t *testing.T) *Asker {
	t.Helper()
	a := newAsker(t)
	if err := local(a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAsk(t *testing.T) {
	a := newAsker(t)
	for range 2 { // Close is no end
		if err := local(a); err != nil {
			t.Error(err)
		}
		a.Close()
	}
	var together sync.WaitGroup
	defer together.Wait()
	for range 50 {
		together.Go(func() {
			if err := local(a); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the kernel refuses is its number, and spoils nothing.
func TestRefused(t *testing.T) {
	a := newAsker(t)
	q := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	q.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	q.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("nosuch")))
	if err := a.Ask(q, func([]byte) { t.Error("answered") }); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("got %v", err)
	}
	if err := local(a); err != nil {
		t.Error(err)
	}
}

// An answer that nobody waited for is none to the next question.
func TestLateAnswer(t *testing.T) {
	a := working(t)
	if err := a.socket.Send(addresses()); err != nil {
		t.Fatal(err)
	}
	if err := local(a); err != nil {
		t.Error(err)
	}
}

// A question that is asked by hand, later, stands for a kernel that takes its time.
func TestWaits(t *testing.T) {
	a := working(t)
	got := make(chan error)
	go func() { got <- a.answered(4711, func([]byte) {}) }()
	runtime.Gosched()
	q := route("127.0.0.1")
	q.Seq = 4711
	if err := a.socket.Send(q); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if err := a.answered(4712, func([]byte) {}); err == nil || err.Error() != "no answer in 1s" {
		t.Errorf("without a question: %v", err)
	}
	if err := local(a); err != nil {
		t.Error(err)
	}
}

func TestTooLong(t *testing.T) {
	a := working(t)
	a.answer = a.answer[:64]
	if err := local(a); err == nil || !strings.HasSuffix(err.Error(), " bytes, more than 64") {
		t.Errorf("got %v", err)
	}
	if err := local(a); err != nil {
		t.Error(err)
	}
}

// A process without a descriptor left can go on asking, and is told why it can't begin.
func TestWithoutDescriptors(t *testing.T) {
	a, late := working(t), newAsker(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	err, lateErr := local(a), local(late)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Error(err)
	}
	if !errors.Is(lateErr, syscall.EMFILE) || lateErr.Error() != "netlink socket: too many open files" {
		t.Errorf("the late one: %v", lateErr)
	}
}

// A list of several parts is whole, unless it changes meanwhile.
func TestList(t *testing.T) {
	const many = 500
	ns := drivertest.Space(t)
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	add := func(i int) {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 10<<24|uint32(i))
		if err := h.AddrAdd(lo, &netlink.Addr{IPNet: netlink.NewIPNet(ip[:])}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		add(i)
	}
	a := New(ns, unix.NETLINK_ROUTE)
	defer a.Close()
	seen := 0
	if err := a.Ask(addresses(), func([]byte) { seen++ }); err != nil || seen != many {
		t.Errorf("%d of %d addresses: %v", seen, many, err)
	}
	seen = 0
	err = a.Ask(addresses(), func([]byte) {
		if seen++; seen == 1 {
			add(many)
		}
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("of a list that changed: %v", err)
	}
}
