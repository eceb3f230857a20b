package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestIsVoid(t *testing.T) {
	dead := errors.New("connection refused")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"fit":                      {nil, false},
		"a failure":                {dead, false},
		"marked":                   {fmt.Errorf("starting: %w", Void(dead)), true},
		"no descriptor here":       {fmt.Errorf("dial: %w", syscall.EMFILE), true},
		"no descriptor anywhere":   {fmt.Errorf("dial: %w", syscall.ENFILE), true},
		"no memory":                {syscall.ENOMEM, true},
		"no buffer":                {syscall.ENOBUFS, true},
		"no process":               {fmt.Errorf("fork: %w", syscall.EAGAIN), true},
		"no descriptor to resolve": {fmt.Errorf("dial: %w", &net.DNSError{Err: "dial udp 127.0.0.1:53: socket: too many open files"}), true},
		"no such name":             {&net.DNSError{Err: "no such host"}, false},
		"no watch of epoll":        {os.NewSyscallError("epoll_ctl", syscall.ENOSPC), true},
		"text of another":          {errors.New("exit 1: too many open files"), false},
		"joined":                   {errors.Join(dead, Void(dead)), true},
		"no address":               {syscall.EADDRNOTAVAIL, false}, // alone it does not tell why
		"not allowed":              {&os.PathError{Op: "fork/exec", Path: "/etc/passwd", Err: syscall.EACCES}, false},
		"refused":                  {syscall.ECONNREFUSED, false},
		"no command of that name":  {syscall.ENOENT, false},
	} {
		if got := IsVoid(tc.err); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if Void(nil) != nil {
		t.Error("no error is marked as one")
	}
}

// A run that keepcast could not make counts for neither rise nor fall, and is soon made
// again. With 256 descriptors and 300 clients all healthy services were withdrawn.
func TestVoidCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := checkFunc(func(context.Context) error {
			switch n++; {
			case n == 4 || n == 5 || n == 6:
				return fmt.Errorf("dial: %w", syscall.EMFILE)
			case n > 7:
				return errors.New("dead")
			}
			return nil
		})
		at, results := run(t, c, schedule, 3900*time.Millisecond)
		var got []string
		for i, r := range results {
			text := fmt.Sprint(at[i], " ", r.Verdict)
			if r.Void {
				text += " void"
			}
			got = append(got, text)
		}
		want := []string{
			"0s unknown", "250ms unknown", "500ms up",
			"1s up void", "1.25s up void", "1.75s up void", // longer each time
			"2.75s up", "3s up", "3.25s down",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// What is wanting once does not count the next time.
func TestVoidOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := checkFunc(func(context.Context) error {
			if n++; n == 4 || n == 6 {
				return Void(errors.New("no descriptor"))
			}
			return nil
		})
		at, _ := run(t, c, schedule, 2900*time.Millisecond)
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{0, 250 * ms, 500 * ms, 1000 * ms, 1250 * ms, 2000 * ms, 2250 * ms}, at); diff != "" {
			t.Errorf("ran (-want +got):\n%s", diff)
		}
	})
}

// However results and void runs are mixed, the verdict is that of the results alone.
func TestVoidProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rise, fall := rapid.IntRange(1, 4).Draw(rt, "rise"), rapid.IntRange(1, 4).Draw(rt, "fall")
		outcomes := rapid.SliceOf(rapid.SampledFrom([]error{nil, errors.New("dead"), Void(errors.New("late"))})).Draw(rt, "outcomes")
		alone := NewHealth(rise, fall, Unknown)
		mixed := NewProbe(nil, Schedule{Rise: rise, Fall: fall, Timeout: time.Second})
		for _, err := range outcomes {
			mixed.Checker = checkFunc(func(context.Context) error { return err })
			r := mixed.run(t.Context())
			if !IsVoid(err) {
				alone.Add(err, r.At)
			}
			if r.Verdict != alone.Verdict() || r.Void != IsVoid(err) || !r.Proof.Equal(alone.Proof()) {
				rt.Fatalf("got %+v, want %s proven at %s", r, alone.Verdict(), alone.Proof())
			}
		}
	})
}

// Hurry has a check prove itself by runs that began after it.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.Jitter = 20*time.Second, 0
		p := NewProbe(checkFunc(func(context.Context) error { return nil }), s)
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		var last Result
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, func(r Result) { at, last = append(at, r.At.Sub(start)), r })
		}()
		time.Sleep(10*time.Second + 1)
		synctest.Wait()
		if got := last.Proof.Sub(start); got != 0 {
			t.Errorf("proven since %s", got)
		}
		p.Hurry()
		time.Sleep(100 * time.Millisecond)
		p.Hurry() // again, between two runs
		hurried := time.Now()
		time.Sleep(15 * time.Second)
		stop()
		<-done
		ms := time.Millisecond
		want := []time.Duration{0, 250 * ms, 500 * ms, 10*time.Second + 1, 10250*ms + 1, 10500*ms + 1, 10750*ms + 1, 20 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("ran (-want +got):\n%s", diff)
		}
		if !last.Proof.After(hurried) {
			t.Errorf("proven by %s, want after %s", last.Proof, hurried)
		}
	})
}

// A Probe carries on from what another one has counted.
func TestCarryOn(t *testing.T) {
	h := NewHealth(3, 4, Up)
	for range 3 {
		h.Add(errors.New("dead"), time.Now())
	}
	p := CarryOn(checkFunc(func(context.Context) error { return errors.New("dead") }), schedule, h)
	if r := p.run(t.Context()); r.Verdict != Down {
		t.Errorf("after the fourth failure it is %s", r.Verdict)
	}
}
