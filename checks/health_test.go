package checks

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever results come in whatever order: the verdict, Moving and Proof are those that
// the rule gives for the results that are not void.
func TestHealthByTheRule(t *testing.T) {
	errs := []error{nil, nil, errors.New("dead"), Void(errors.New("no descriptor"))}
	for range 2000 {
		h := NewHealth(1+rand.IntN(5), 1+rand.IntN(5), Verdict(rand.IntN(3)))
		want := h.Verdict()
		var began []time.Time // of the successes in a row
		failures, counted := 0, 0
		at := time.Unix(0, 0)
		for range rand.IntN(40) {
			at = at.Add(time.Duration(1+rand.IntN(1000)) * time.Millisecond)
			err := errs[rand.IntN(len(errs))]
			before, oldProof := h, h.Proof()
			got := h.Add(err, at)
			switch {
			case err == nil:
				began, failures, counted = append(began, at), 0, counted+1
			case !IsVoid(err):
				began, failures, counted = nil, failures+1, counted+1
			}
			var proof time.Time
			if len(began) >= h.Rise {
				want, proof = Up, began[len(began)-h.Rise]
			}
			if failures >= h.Fall {
				want = Down
			}
			moving := counted > 0 && (failures == 0) != (want == Up)
			if got != want || h.Verdict() != want || h.Moving() != moving || !h.Proof().Equal(proof) {
				t.Fatalf("rise %d, fall %d: got %s, moving %v, proof %s, want %s, %v, %s",
					h.Rise, h.Fall, got, h.Moving(), h.Proof(), want, moving, proof)
			}
			if before.Proof() != oldProof {
				t.Fatal("a copy has changed")
			}
			if len(h.begun) > h.Rise {
				t.Fatalf("%d times are kept for rise %d", len(h.begun), h.Rise)
			}
		}
	}
}

func TestHealthWithoutRiseHasNoProof(t *testing.T) {
	var h Health
	h.Add(nil, time.Unix(1, 0))
	if !h.Proof().IsZero() {
		t.Errorf("got %s", h.Proof())
	}
}
