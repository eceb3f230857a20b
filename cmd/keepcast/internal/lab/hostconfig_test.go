package lab

import (
	"regexp"
	"testing"
)

// What a host of the documentation is configured with reads well.
func TestHostConfig(t *testing.T) {
	ugly := regexp.MustCompile(`(?m)^\s*\n\s*\n|[ \t]$|\n\n\z|<no value>|\A\s`)
	for _, daemon := range []string{BIRD, FRR} {
		for _, protocol := range []string{BGP, OSPF, ISIS, RIP, Babel} {
			t.Run(daemon+" "+protocol, func(t *testing.T) {
				text, err := HostConfig(daemon, protocol)
				if daemon == BIRD && protocol == ISIS {
					if err == nil || err.Error() != "lab: node a: bird does not speak IS-IS" {
						t.Errorf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if at := ugly.FindStringIndex(text); at != nil {
					t.Errorf("at %d:\n%s", at[0], text)
				}
				t.Log("\n" + text)
			})
		}
	}
	if _, err := HostConfig("gated", BGP); err == nil {
		t.Error("no error for a daemon that does not exist")
	}
}
