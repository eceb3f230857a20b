package drivertest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
)

// walks checks that a walk over random states leads where one Apply of the last of them
// leads on a fresh daemon.
func walks(t *testing.T, open func(*testing.T) *trial) {
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprint("KEEPCAST_SEED=", seed), func(t *testing.T) {
			var last driver.State
			var there []string
			if !t.Run("step by step", func(t *testing.T) {
				tr := open(t)
				last = tr.walk(rand.New(rand.NewPCG(seed, 0)))
				there = tr.Dump()
			}) {
				return
			}
			t.Run("at once", func(t *testing.T) {
				tr := open(t)
				tr.apply(last)
				tr.announces(last)
				tr.dumps(there)
			})
		})
	}
}

// seeds returns the seed in the environment, or else two fixed seeds and a random one.
// The walk of seed 4 ends with a prefix that goes from delivered to absent. In the walk
// of seed 8 a daemon loses everything twice in a row.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	given := os.Getenv("KEEPCAST_SEED")
	if given == "" {
		return []uint64{4, 8, rand.Uint64()}
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return []uint64{seed}
}

// walk applies random states, some twice, with drivers that start anew and somebody else's
// changes on the way. It returns the last state.
func (tr *trial) walk(rnd *rand.Rand) driver.State {
	tr.t.Helper()
	var log []string
	defer func() {
		if tr.t.Failed() {
			tr.t.Log("walked\n" + strings.Join(log, "\n"))
		}
	}()
	s := tr.random(rnd)
	for n := range tr.steps() {
		if n > 0 && rnd.IntN(4) == 0 {
			log = append(log, "a new keepcast")
			tr.restart()
		}
		if n > 0 && tr.Disturb != nil && rnd.IntN(2) == 0 {
			log = append(log, "somebody else: "+tr.Disturb(rnd))
		}
		if rnd.IntN(3) > 0 {
			s = tr.random(rnd)
		}
		log = append(log, "apply "+words(s))
		tr.apply(s)
		tr.inSync(s)
	}
	return s
}

// steps returns how long the walk is.
func (tr *trial) steps() int {
	if n, err := strconv.Atoi(os.Getenv("KEEPCAST_STEPS")); err == nil && n > 0 {
		return n
	}
	return cmp.Or(tr.Steps, 40)
}
