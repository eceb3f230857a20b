package health

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIsCertain(t *testing.T) {
	gone := errors.New("gone")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"fit":       {nil, false},
		"a failure": {gone, false},
		"marked":    {fmt.Errorf("unbound.service: %w", Certain(gone)), true},
		"void, too": {Void(Certain(gone)), false},
		"joined":    {errors.Join(gone, Certain(gone)), true},
	} {
		if got := IsCertain(tc.err); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if Certain(nil) != nil {
		t.Error("no error is marked as one")
	}
	if err := Certain(gone); err.Error() != "gone" || !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// A certain failure makes the check down at once. With patience it has that long to heal,
// and is looked at right when that is over.
func TestPatience(t *testing.T) {
	gone, slow := Certain(errors.New("gone")), errors.New("slow")
	for name, tc := range map[string]struct {
		patience, fast time.Duration
		from           map[time.Duration]error // what the check says from then on
		want           []string
	}{
		"none": {
			from: map[time.Duration]error{3 * time.Second: gone},
			want: []string{"3s down"},
		},
		"it heals": {
			patience: 600 * time.Millisecond,
			from:     map[time.Duration]error{3 * time.Second: gone, 3400 * time.Millisecond: nil},
			want:     []string{"3s up", "3.25s up", "3.5s up", "4s up"},
		},
		"it does not": {
			patience: 600 * time.Millisecond,
			from:     map[time.Duration]error{3 * time.Second: gone},
			want:     []string{"3s up", "3.25s up", "3.5s up", "3.6s down"},
		},
		"shorter than the fast interval": {
			patience: 100 * time.Millisecond,
			from:     map[time.Duration]error{3 * time.Second: gone},
			want:     []string{"3s up", "3.1s down"},
		},
		"others count meanwhile": {
			patience: 5 * time.Second,
			from:     map[time.Duration]error{3 * time.Second: gone, 3200 * time.Millisecond: slow},
			want:     []string{"3s up", "3.25s up", "3.5s down"},
		},
		"it begins anew after a success": {
			patience: 300 * time.Millisecond,
			from: map[time.Duration]error{
				3 * time.Second: gone, 3200 * time.Millisecond: nil, 4 * time.Second: gone,
			},
			want: []string{"3s up", "3.25s up", "4s up", "4.25s up", "4.3s down"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c := checkFunc(func(context.Context) (err error) {
					latest := time.Duration(-1)
					for from, says := range tc.from {
						if from <= time.Since(start) && from > latest {
							latest, err = from, says
						}
					}
					return err
				})
				s := schedule
				s.Patience, s.Jitter = tc.patience, 0
				at, results := run(t, c, s, 6*time.Second)
				var got []string
				for i, r := range results {
					if at[i] >= 3*time.Second && len(got) < len(tc.want) {
						got = append(got, fmt.Sprint(at[i], " ", r.Verdict))
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}
