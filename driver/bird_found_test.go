package driver

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const birdTwoSessions = birdStatics + `
protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ebgp; }; }
protocol bgp i4 { local 10.98.0.1 as 65001; neighbor 10.98.0.2 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export filter keepcast_ibgp; }; }
`

// finds waits until Observe finds that and nothing else.
func (r *realBIRD) finds(b *BIRD, findings ...string) {
	r.t.Helper()
	var got []string
	if !birdWait(func() bool {
		s, err := b.Observe(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		got = birdFindings(s.Findings)
		return cmp.Equal(findings, got)
	}) {
		r.t.Fatal(cmp.Diff(findings, got))
	}
}

// Each thing that stands in the way is found, in words, and is over when it is.
func TestBIRDRealFindings(t *testing.T) {
	host, router := birdPairOf(t, birdTwoSessions, birdRouter, "192.0.2.53/32")
	b := testBIRD(host.dir)
	defer b.Close()
	dns, cover := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("203.0.113.0/24", Announced)
	cover.GateOnly = true
	birdWrite(t, b.Snippet, birdRender(t, b, dns, cover))
	host.start()
	router.start()
	birdApply(t, b, dns, cover)
	const originate = "not-originated: bird 203.0.113.0/24: has no route in table keepcast4, so there is nothing that the gate could let pass: " +
		"add to bird.conf, below the include line: protocol static { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }"
	host.finds(b, originate)
	const cov = "protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }\n"
	host.protocols(birdTwoSessions + cov)
	host.say("configure")
	host.finds(b)

	// Somebody's route for it is preferred.
	host.protocols(birdTwoSessions + cov + "protocol static rival { ipv4 { preference 250; }; route 192.0.2.53/32 unreachable; }\n")
	host.say("configure")
	host.finds(b, "not-preferred: bird 192.0.2.53/32: is in BIRD, but the route of protocol rival for it is the chosen one, and only that is announced: "+
		"give that protocol's channel a preference below 241, or take its route away")
	host.protocols(birdTwoSessions + cov)
	host.say("configure")
	host.finds(b)

	// The router goes, and comes back.
	router.stop()
	birdUntil(t, "both sessions are found to be down", func() bool {
		s, err := b.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(birdNamesOf(s.Findings), []string{"session-down breaks bird neighbour e4", "session-down breaks bird neighbour i4"})
	})
	router.start()
	host.finds(b)

	// A filter lets nothing pass; nobody exports.
	const filtered = `protocol bgp e4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; connect delay time 1; error wait time 1, 2; ipv4 { import all; export FILTER; }; }` + "\n"
	host.protocols(birdStatics + cov + strings.Replace(filtered, "FILTER", "where source = RTS_OSPF", 1))
	host.say("configure")
	fix := ": name keepcast_ebgp, keepcast_ibgp or keepcast_igp in the export of the protocols that are to announce it, as the head of " + b.Snippet + " shows"
	host.finds(b, "gate-unused: bird: announces nothing of what passes the gate: no export filter lets it pass: not to e4"+fix)
	host.protocols(birdStatics + cov + strings.Replace(filtered, "FILTER", "none", 1))
	host.say("configure")
	host.finds(b, "gate-unused: bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything of its family"+fix)
	host.protocols(birdTwoSessions + cov)
	host.say("configure")
	host.finds(b)

	// A protocol of the snippet is disabled.
	host.say("disable keepcast")
	host.finds(b, "protocol-disabled: bird protocol keepcast: is down, so what it carries is not announced: if that is not meant, run birdc enable keepcast")
	host.say("enable keepcast")
	host.finds(b)
}

// Without the include, or with another file's, Observe says the same as Apply does.
func TestBIRDRealFindingsInclude(t *testing.T) {
	r, b := readyBIRD(t, "192.0.2.53/32")
	dns := birdRouteOf("192.0.2.53/32", Announced)
	birdWrite(t, r.dir+"/copy.conf", birdRender(t, b))
	r.config(`include "` + r.dir + `/copy.conf";` + "\n")
	r.say("configure")
	err := b.Apply(t.Context(), birdRoutes(dns))
	var f Finding
	if !errors.As(err, &f) || f.Name != "snippet-differs" {
		t.Fatal(err)
	}
	r.finds(b, f.Name+": "+f.Error())
	r.config("")
	r.say("configure")
	err = b.Apply(t.Context(), birdRoutes(dns))
	if !errors.As(err, &f) || f.Name != "include-missing" {
		t.Fatal(err)
	}
	r.finds(b, f.Name+": "+f.Error())
	s, err := b.Observe(t.Context())
	if err != nil || s.Neighbours == nil || len(s.Routes) > 0 {
		t.Errorf("%+v %v", s, err)
	}
}

// A service on another interface comes and goes without a flap of the others: each
// of their prefixes was announced once, and never withdrawn.
func TestBIRDRealInterfaces(t *testing.T) {
	host, router := birdPairOf(t, birdTwoSessions, birdRouter, "192.0.2.53/32")
	for _, name := range []string{"any-1", "any.2"} {
		host.ip("-n " + host.ns + " link add " + name + " type ifb")
		host.ip("-n " + host.ns + " link set " + name + " up")
	}
	host.ip("-n " + host.ns + " addr add 192.0.2.61/32 dev any-1")
	host.ip("-n " + host.ns + " addr add 192.0.2.62/32 dev any.2")
	b := testBIRD(host.dir)
	defer b.Close()
	dns, one, two := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("192.0.2.61/32", Announced), birdRouteOf("192.0.2.62/32", Announced)
	one.Interface, two.Interface = "any-1", "any.2"
	birdWrite(t, b.Snippet, birdRender(t, b, dns))
	host.start()
	router.start()
	birdUntil(t, "the session", func() bool { return router.imports("e4") == "updates 1, withdraws 0" })
	learnt := func(imports string, prefixes ...string) {
		t.Helper()
		var got []string
		for i, p := range prefixes {
			prefixes[i] = p + " as_path=65001 local_pref=100"
		}
		if !birdWait(func() bool {
			got = router.learnt("e4")
			return slices.Equal(got, prefixes) && router.imports("e4") == imports
		}) {
			t.Fatalf("got %q and %s, want %q and %s", got, router.imports("e4"), prefixes, imports)
		}
	}
	birdApply(t, b, dns, one)
	learnt("updates 2, withdraws 0", "192.0.2.53/32", "192.0.2.61/32")
	birdApply(t, b, dns, one, two)
	learnt("updates 3, withdraws 0", "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	birdSees(t, b, "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	host.finds(b)
	host.say(`disable "keepcast-any.2"`)
	host.finds(b, `protocol-disabled: bird protocol keepcast-any.2: is down, so what it carries is not announced: if that is not meant, run birdc 'enable "keepcast-any.2"'`)
	host.say(`enable "keepcast-any.2"`)
	learnt("updates 4, withdraws 1", "192.0.2.53/32", "192.0.2.61/32", "192.0.2.62/32")
	birdApply(t, b, dns, two)
	learnt("updates 4, withdraws 2", "192.0.2.53/32", "192.0.2.62/32")
	birdApply(t, b, dns)
	learnt("updates 4, withdraws 3", "192.0.2.53/32")
}

// Two BIRDs beside each other on one host each have a gate of their own.
func TestBIRDRealTwo(t *testing.T) {
	first, b := readyBIRD(t, "192.0.2.53/32", "192.0.2.54/32")
	second := &realBIRD{t: t, dir: birdDir(t), id: "10.99.0.9", ns: first.ns}
	second.ask = &birdControl{socket: second.dir + "/bird.ctl", timeout: first.ask.timeout}
	t.Cleanup(second.stop)
	second.protocols(birdStatics)
	c := testBIRD(second.dir)
	defer c.Close()
	birdWrite(t, c.Snippet, birdRender(t, c))
	second.start()
	dns, two := birdRouteOf("192.0.2.53/32", Announced), birdRouteOf("192.0.2.54/32", Announced)
	birdApply(t, b, dns)
	birdApply(t, c, two)
	birdSees(t, b, "192.0.2.53/32")
	birdSees(t, c, "192.0.2.54/32")
	birdApply(t, c, dns, two)
	birdSees(t, b, "192.0.2.53/32")
	birdSees(t, c, "192.0.2.53/32", "192.0.2.54/32")
	second.stop()
	if _, err := c.Observe(t.Context()); err == nil {
		t.Error("the second is observed without running")
	}
	birdApply(t, b)
	birdSees(t, b)
}
