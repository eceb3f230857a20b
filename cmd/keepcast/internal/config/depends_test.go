package config

import (
	"slices"
	"testing"
)

// depending is a service with an address of its own, and what it depends on.
func depending(name, last, on string) string {
	return service(name, "addresses: [192.0.2."+last+"], depends_on: ["+on+"]")
}

func TestDependsOnFaults(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nobody": {
			depending("ldap", "1", "kerberos") + depending("kerberos-kdc", "2", ""),
			`keepcast.yaml:2:91: services[ldap].depends_on[0]: no service "kerberos"`,
		},
		"a typo": {
			depending("ldap", "1", "kerberso") + depending("kerberos", "2", ""),
			`keepcast.yaml:2:91: services[ldap].depends_on[0]: no service "kerberso" (did you mean "kerberos"?)`,
		},
		"itself": {
			depending("a", "1", "a"),
			"keepcast.yaml:2:88: services[a].depends_on[0]: these services would wait for each other for ever: a depends on a",
		},
		"each other, told once": {
			depending("a", "1", "b") + depending("b", "2", "a"),
			"keepcast.yaml:2:88: services[a].depends_on[0]: these services would wait for each other for ever: a depends on b depends on a",
		},
		"a circle that is not the first service's": {
			depending("a", "1", "b") + depending("b", "2", "c, d") + depending("c", "3", "") + depending("d", "4", "e") + depending("e", "5", "b"),
			"keepcast.yaml:3:91: services[b].depends_on[1]: these services would wait for each other for ever: b depends on d depends on e depends on b",
		},
		"a circle that others wait for": {
			depending("a", "1", "b") + depending("b", "2", "c") + depending("c", "3", "d") + depending("d", "4", "c"),
			"keepcast.yaml:4:88: services[c].depends_on[0]: these services would wait for each other for ever: c depends on d depends on c",
		},
		"two circles": {
			depending("a", "1", "b, c") + depending("b", "2", "a") + depending("c", "3", "a"),
			"keepcast.yaml:2:88: services[a].depends_on[0]: these services would wait for each other for ever: a depends on b depends on a\n" +
				"keepcast.yaml:2:91: services[a].depends_on[1]: these services would wait for each other for ever: a depends on c depends on a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := faultsOf(t, "services:\n"+tt.text); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Two ways to one service are no circle.
func TestDependencies(t *testing.T) {
	c := load(t, "services:\n"+depending("a", "1", "c, b")+depending("b", "2", "d")+depending("c", "3", "d")+depending("d", "4", "e")+depending("e", "5", ""))
	for name, want := range map[string][]string{"a": {"c", "b", "d", "e"}, "b": {"d", "e"}, "d": {"e"}, "e": nil} {
		s, err := c.ServiceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Dependencies(*s); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
