package health

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever results come in whatever order: the verdict, Moving and Proof are those that
// the rule gives for the results that are not void.
func TestHealthByTheRule(t *testing.T) {
	gone := Certain(errors.New("gone"))
	errs := []error{nil, nil, errors.New("dead"), Void(errors.New("no descriptor")), gone, Void(gone)}
	for range 2000 {
		h := NewHealth(1+rand.IntN(5), 1+rand.IntN(5), Verdict(rand.IntN(3)))
		h.Patience = time.Duration(rand.IntN(3)) * time.Second
		want := h.Verdict()
		var certain, began []time.Time // of the certain failures since a success, of the successes in a row
		failures, counted := 0, 0
		at := time.Unix(0, 0)
		for range rand.IntN(40) {
			at = at.Add(time.Duration(1+rand.IntN(1000)) * time.Millisecond)
			err := errs[rand.IntN(len(errs))]
			before, oldProof := h, h.Proof()
			got := h.Add(err, at)
			switch {
			case err == nil:
				certain, began, failures, counted = nil, append(began, at), 0, counted+1
			case !IsVoid(err):
				began, counted = nil, counted+1
				if errors.Is(err, gone) {
					certain = append(certain, at)
				}
				if !errors.Is(err, gone) || at.Sub(certain[0]) >= h.Patience {
					failures++
				}
			}
			var proof time.Time
			if len(began) >= h.Rise {
				want, proof = Up, began[len(began)-h.Rise]
			}
			if failures >= h.Fall || failures > 0 && errors.Is(err, gone) && !IsVoid(err) && at.Sub(certain[0]) >= h.Patience {
				want = Down
			}
			moving := counted > 0 && (want == Unknown || (began != nil) != (want == Up))
			if got != want || h.Verdict() != want || h.Moving() != moving || !h.Proof().Equal(proof) {
				t.Fatalf("rise %d, fall %d: got %s, moving %v, proof %s, want %s, %v, %s",
					h.Rise, h.Fall, got, h.Moving(), h.Proof(), want, moving, proof)
			}
			wantResults, wantTakes := failures, h.Fall
			if began != nil {
				wantResults, wantTakes = len(began), h.Rise
			}
			if results, takes := h.InARow(); results != wantResults || takes != wantTakes {
				t.Fatalf("%d of %d in a row, want %d of %d", results, takes, wantResults, wantTakes)
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
