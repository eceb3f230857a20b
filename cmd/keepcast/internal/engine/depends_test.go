package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

const (
	ldapAddress = "192.0.2.54/32"
	kdcAddress  = "192.0.2.55/32"
)

// chain has mail depend on ldap and ldap on kdc, in the order in which that is hardest.
func chain(b *harness) (mail, ldap, kdc *fakeCheck) {
	mail, ldap, kdc = &fakeCheck{}, &fakeCheck{}, &fakeCheck{}
	b.service("mail", address, mail).DependsOn = []string{"ldap"}
	b.service("ldap", ldapAddress, ldap).DependsOn = []string{"kdc"}
	b.service("kdc", kdcAddress, kdc)
	return mail, ldap, kdc
}

// A service goes in the moment that one goes on which it depends, and comes back after it, by
// what its own checks find since.
func TestDependsOn(t *testing.T) {
	b := newHarness(t)
	_, _, kdc := chain(b)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(0)
		b.want("mail", api.Withdrawn, "depends on service ldap, that on kdc: check checka has not succeeded 3 times in a row yet")
		later(2 * time.Second)
		for _, name := range []string{"mail", "ldap", "kdc"} {
			b.want(name, api.Announced, "all checks up")
		}
		var order []string
		err := b.engine.call(func() {
			for _, s := range b.engine.inOrder {
				order = append(order, s.cfg.Name)
			}
		})
		if err != nil || !slices.Equal(order, []string{"kdc", "ldap", "mail"}) {
			t.Errorf("decided in the order %v: %v", order, err)
		}
		b.kernel.take()
		kdc.set(errDead)
		for state, _ := b.state("kdc"); state == api.Announced; state, _ = b.state("kdc") {
			later(10 * time.Millisecond)
		}
		b.want("kdc", api.Withdrawn, "check checka: connection refused")
		b.want("ldap", api.Withdrawn, "depends on service kdc: check checka: connection refused")
		b.want("mail", api.Withdrawn, "depends on service ldap, that on kdc: check checka: connection refused")
		for _, prefix := range []string{address, ldapAddress, kdcAddress} {
			b.wantKernel(prefix, driver.Delivered)
		}
		later(5 * time.Second)
		kdc.set(nil)
		later(3 * time.Second)
		for _, name := range []string{"mail", "ldap", "kdc"} {
			b.want(name, api.Announced, "all checks up")
		}
		b.end()
	})
}

// What both find wrong is told of both, and a service that is degraded is one to depend on.
func TestDependsOnReasons(t *testing.T) {
	b := newHarness(t)
	mail, ldap, _ := chain(b)
	slow := &fakeCheck{}
	b.cfg.Services[2].Checks = append(b.cfg.Services[2].Checks, b.cfg.Services[2].Checks[0])
	last := &b.cfg.Services[2].Checks[1]
	last.Name, last.OnFailure, last.Checker = "slow", "degrade", slow
	synctest.Test(t, func(t *testing.T) {
		slow.set(errDead)
		b.start()
		later(3 * time.Second)
		b.want("kdc", api.Degraded, "check slow: connection refused")
		b.want("ldap", api.Announced, "all checks up")
		ldap.set(errDead)
		mail.set(errDead)
		later(3 * time.Second)
		b.want("mail", api.Withdrawn, "depends on service ldap: check checka: connection refused; check checka: connection refused")
		b.end()
	})
}

// A drain says nothing of whether the service works, and a restart forgets nothing: what is
// announced stays so, though the checks of the drained service have not decided yet.
func TestDependsOnDrained(t *testing.T) {
	b := newHarness(t)
	_, ldap, kdc := chain(b)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		if err := b.engine.Drain([]string{"kdc"}, time.Time{}, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		later(15 * time.Second)
		b.want("kdc", api.Withdrawn, "drained: CHG-1")
		b.want("ldap", api.Announced, "all checks up")
		b.end()

		b.kernel.take()
		b.start()
		later(0)
		b.want("ldap", api.Announced, "as before: it depends on service kdc, which has not decided yet")
		b.want("mail", api.Announced, "as before: it depends on service ldap, which has not decided yet")
		later(3 * time.Second)
		b.want("ldap", api.Announced, "all checks up")
		b.wantUnmoved()

		kdc.set(errDead)
		later(3 * time.Second)
		b.want("kdc", api.Withdrawn, "drained: CHG-1")
		b.want("ldap", api.Withdrawn, "depends on service kdc: check checka: connection refused")
		kdc.set(nil)
		later(3 * time.Second)
		b.want("mail", api.Announced, "all checks up")

		ldap.set(errDead)
		kdc.set(errDead)
		later(3 * time.Second)
		ldap.set(nil)
		later(3 * time.Second)
		b.want("ldap", api.Withdrawn, "depends on service kdc: check checka: connection refused")
		b.end()
	})
}

// A service that is degraded decides after a restart that it is as before. Nothing changes for
// itself, but who waits for it goes on at once.
func TestDependsOnWaits(t *testing.T) {
	b := newHarness(t)
	_, ldap, _ := chain(b)
	kdc := &b.cfg.Services[2]
	kdc.Checks = append(kdc.Checks, kdc.Checks[0])
	kdc.Checks[1].Name, kdc.Checks[1].OnFailure, kdc.Checks[1].Checker = "slow", "degrade", &fakeCheck{err: errDead}
	kdc.Checks[0].Rise = 10
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		ldap.set(errDead)
		b.start()
		later(5 * time.Second)
		b.want("ldap", api.Withdrawn, "check checka: connection refused")
		b.end()
		ldap.set(nil)
		b.start()
		later(2 * time.Second)
		b.want("ldap", api.Withdrawn, "depends on service kdc: its checks have not decided yet")
		b.want("kdc", api.Degraded, "check slow: connection refused")
		later(time.Second)
		b.want("ldap", api.Announced, "all checks up")
		b.want("kdc", api.Degraded, "check slow: connection refused")
		b.end()
	})
}

// With require: any, one check that is up is enough for those who depend on the service, too.
func TestDependsOnAny(t *testing.T) {
	b := newHarness(t)
	_, ldap, _ := chain(b)
	spare := &fakeCheck{}
	s := &b.cfg.Services[1]
	s.Checks = append(s.Checks, s.Checks[0])
	s.Checks[1].Name, s.Checks[1].Checker = "spare", spare
	if err := s.Require.UnmarshalText([]byte("any")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ldap.set(errDead)
		b.start()
		later(3 * time.Second)
		b.want("mail", api.Announced, "all checks up")
		spare.set(errDead)
		later(3 * time.Second)
		b.want("mail", api.Withdrawn, "depends on service ldap: check checka: connection refused; check spare: connection refused")
		b.end()
	})
}

// A reload adds and takes away what a service depends on.
func TestDependsOnReload(t *testing.T) {
	b := newHarness(t)
	_, _, kdc := chain(b)
	b.cfg.Services[1].DependsOn = nil
	synctest.Test(t, func(t *testing.T) {
		kdc.set(errDead)
		b.start()
		later(3 * time.Second)
		b.want("mail", api.Announced, "all checks up")
		b.reload(func(c *config.Config) { c.Services[1].DependsOn = []string{"kdc"} })
		b.want("mail", api.Withdrawn, "depends on service ldap, that on kdc: check checka: connection refused")
		b.reload(func(c *config.Config) { c.Services[1].DependsOn = nil })
		later(3 * time.Second)
		b.want("mail", api.Announced, "all checks up")

		// One that comes with the reload has not decided yet, which moves nothing.
		b.kernel.take()
		fresh := &fakeCheck{}
		cfg := copied(b.cfg)
		b.cfg = cfg
		b.service("sso", "192.0.2.56/32", fresh)
		cfg.Services[1].DependsOn = []string{"sso"}
		if err := b.engine.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		b.want("mail", api.Announced, "as before: it depends on service ldap, which has not decided yet")
		later(3 * time.Second)
		b.want("mail", api.Announced, "all checks up")
		b.end()
	})
}

// Where ways meet again a cause is named once, and of many only some: in layers of two the
// reasons doubled with each layer, until there was no memory left.
func TestDependsOnLayers(t *testing.T) {
	b := newHarness(t)
	root := &fakeCheck{err: errDead}
	const layers = 40
	for layer := range layers {
		for n := range 2 {
			s := b.service(fmt.Sprintf("s%d-%d", layer, n), fmt.Sprintf("192.0.%d.%d/32", layer, n+1), root)
			if layer > 0 {
				s.DependsOn = []string{fmt.Sprintf("s%d-0", layer-1), fmt.Sprintf("s%d-1", layer-1)}
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		b.want("s0-0", api.Withdrawn, "check checka: connection refused")
		b.want("s1-1", api.Withdrawn, "depends on service s0-0: check checka: connection refused; depends on service s0-1: check checka: connection refused; "+
			"check checka: connection refused")
		if _, reason := b.state("s39-0"); strings.Count(reason, "depends on") != mostCauses || len(reason) > 1000 {
			t.Errorf("the reason has %d bytes: %.1000s", len(reason), reason)
		}
		root.set(nil)
		later(60 * time.Second)
		b.want("s39-0", api.Announced, "all checks up")
		b.end()
	})
}

// One cause that is reached by two ways is told once, and what is no cause is not told.
func TestDependsOnDiamond(t *testing.T) {
	b := newHarness(t)
	_, ldap, kdc := chain(b)
	b.service("sso", "192.0.2.56/32", &fakeCheck{}).DependsOn = []string{"kdc"}
	b.cfg.Services[0].DependsOn = []string{"sso", "ldap"}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		kdc.set(errDead)
		later(2 * time.Second)
		b.want("mail", api.Withdrawn, "depends on service sso, that on kdc: check checka: connection refused")
		ldap.set(errDead)
		later(2 * time.Second)
		b.want("mail", api.Withdrawn, "depends on service sso, that on kdc: check checka: connection refused; depends on service ldap: check checka: connection refused")
		b.end()
	})
}
