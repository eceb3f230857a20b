package main

import "testing"

func TestMessage(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"quoted":  {`time=2026-11-22T19:00:00Z level=INFO msg="state changed" service=dns state=announced`, "state changed service=dns state=announced"},
		"bare":    {`time=2026-11-22T19:00:00Z level=WARN msg=repaired prefix=192.0.2.53/32`, "repaired prefix=192.0.2.53/32"},
		"debug":   {`time=2026-11-22T19:00:00Z level=DEBUG msg="check ran" check=ipv4`, ""},
		"journal": {`<6>msg="state changed" service=dns`, "state changed service=dns"},
		"other":   {"panic: out of luck ", "panic: out of luck"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := message(c.line); got != c.want {
				t.Errorf("%q, not %q", got, c.want)
			}
		})
	}
}
