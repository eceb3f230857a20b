package kinds

import "testing"

func TestKindByName(t *testing.T) {
	if _, err := ByName("rip"); err == nil {
		t.Error("an unknown kind is known")
	}
}
