package checks

import "testing"

func TestRouteProtocol(t *testing.T) {
	const list = "(a number from 1 to 255, or one of: [any redirect kernel boot static gated ra mrt zebra bird dnrouted xorp ntk dhcp " +
		"keepalived babel openr bgp isis ospf rip eigrp])"
	for text, tt := range map[string]struct{ shown, err string }{
		"any": {"any", ""}, "bgp": {"bgp", ""}, "186": {"bgp", ""}, "196": {"196", ""}, "255": {"255", ""},
		"0":   {err: `"0" is no routing protocol ` + list},
		"256": {err: `"256" is no routing protocol ` + list},
		"":    {err: `"" is no routing protocol ` + list},
		"BGP": {err: `"BGP" is no routing protocol ` + list},
	} {
		t.Run(text, func(t *testing.T) {
			var p RouteProtocol
			err := p.UnmarshalText([]byte(text))
			sameError(t, err, tt.err, "")
			if got, _ := p.MarshalText(); err == nil && string(got) != tt.shown {
				t.Errorf("got %s", got)
			}
		})
	}
}

func FuzzRouteProtocol(f *testing.F) {
	f.Add("bgp")
	f.Add("196")
	f.Fuzz(func(t *testing.T, text string) {
		var p, q RouteProtocol
		if p.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := q.UnmarshalText([]byte(p.String())); err != nil || p != q {
			t.Errorf("%s became %s, then %s: %v", text, p, q, err)
		}
	})
}
