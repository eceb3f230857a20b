package kinds

import (
	"strings"
	"testing"
)

func TestKinds(t *testing.T) {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
		if k.Doc == "" || k.Example == "" || k.New == nil || k.New() == nil {
			t.Errorf("kind %s has no doc, no example or no driver", k.Name)
		}
		if found, err := ByName(k.Name); err != nil || found.Name != k.Name {
			t.Errorf("kind %s: found %q, %v", k.Name, found.Name, err)
		}
	}
	_, err := ByName("rip")
	if want := `no driver kind "rip" (known: ` + strings.Join(names, ", ") + ")"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
