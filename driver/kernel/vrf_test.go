package kernel

import (
	"context"
	"errors"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// asked counts the questions for the VRF of any0, and answers them.
type asked struct {
	times  int
	answer string
	err    error
	during func() // happens between the question and the answer
}

func (a *asked) ask() (string, error) {
	a.times++
	answer := a.answer
	if a.during != nil {
		a.during()
	}
	return answer, a.err
}

func (a *asked) want(t *testing.T, v *vrfs, name string, times int) {
	t.Helper()
	got, err := v.of("any0", a.ask)
	if got != name || !errors.Is(err, a.err) || a.times != times {
		t.Errorf("got %q, %v, asked %d times; want %q, %d times", got, err, a.times, name, times)
	}
}

// What is known of a VRF is used until a change is told, and nothing is known where nobody
// tells.
func TestVRFKnown(t *testing.T) {
	var v vrfs
	a := &asked{answer: "red"}
	a.want(t, &v, "red", 1)
	a.want(t, &v, "red", 2) // nobody tells
	v.forget(true)
	a.want(t, &v, "red", 3)
	a.want(t, &v, "red", 3)
	a.answer = "blue"
	a.want(t, &v, "red", 3)
	v.forget(true)
	a.want(t, &v, "blue", 4)
	v.forget(false)
	a.want(t, &v, "blue", 5)
	a.want(t, &v, "blue", 6)
}

// An answer from before a change is not kept, nor one that is none.
func TestVRFNotKept(t *testing.T) {
	var v vrfs
	v.forget(true)
	a := &asked{answer: "red"}
	a.during = func() {
		a.answer, a.during = "blue", nil
		v.forget(true)
	}
	a.want(t, &v, "red", 1)
	a.want(t, &v, "blue", 2)
	v.forget(true)
	a.answer, a.err = "", errors.New("no buffer space")
	a.want(t, &v, "", 3)
	a.err = nil
	a.want(t, &v, "", 4)
}

// An interface that changes has the kernel asked anew.
func TestVRFAskedAfterChange(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	a := &asked{answer: "red"}
	a.want(t, &k.vrfs, "red", 1)
	a.want(t, &k.vrfs, "red", 2)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(ctx, func() {}) }()
	known := func() bool {
		before := a.times
		_, _ = k.vrfs.of("any0", a.ask)
		return a.times == before
	}
	drivertest.Eventually(t, "the VRF is known", known)
	a.answer = "blue"
	s.ip("link add other type ifb")
	drivertest.Eventually(t, "the kernel is asked anew", func() bool {
		name, err := k.vrfs.of("any0", a.ask)
		return name == "blue" && err == nil
	})
	drivertest.Eventually(t, "the VRF is known again", known)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	times := a.times
	a.want(t, &k.vrfs, "blue", times+1)
	a.want(t, &k.vrfs, "blue", times+2)
}
