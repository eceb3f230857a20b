package sockets

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkConnections measures a short connection through a service: alone, with a Watch
// beside it, and with a Watch whose filter lets the end of each connection through. In one
// run, so that the figures compare.
func BenchmarkConnections(b *testing.B) {
	for _, mode := range []string{"alone", "watched", "unfiltered"} {
		b.Run(mode, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			}()
			defer func() { l.Close(); <-served }()
			at := l.Addr().(*net.TCPAddr).AddrPort()
			if mode != "alone" {
				w := running(b)
				f, _ := following(b, w)
				f.Aim("tcp", at)
				f.Learn()
				if mode == "unfiltered" {
					if err := unix.SetsockoptInt(w.events.GetFd(), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
						b.Fatal(err)
					}
				}
			}
			before := cpu(b)
			for b.Loop() {
				c, err := net.Dial("tcp", at.String())
				if err != nil {
					b.Fatal(err)
				}
				_ = c.(*net.TCPConn).SetLinger(0) // its port is free at once
				c.Close()
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkClosed measures the time from the end of a listening socket until its follower is
// woken.
func BenchmarkClosed(b *testing.B) {
	w := New(everywhere)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() { stop(); <-done }()
	drivertest.Eventually(b, "the subscription", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.events != nil
	})
	woken := make(chan struct{}, 1)
	f := w.Follow(func() { woken <- struct{}{} })
	defer f.Close()
	for b.Loop() {
		b.StopTimer()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		f.Aim("tcp", l.Addr().(*net.TCPAddr).AddrPort())
		f.Learn()
		b.StartTimer()
		l.Close()
		<-woken
	}
}

// BenchmarkListening measures a question for the sockets of one port.
func BenchmarkListening(b *testing.B) {
	at, _ := open(b, "tcp4", "127.0.0.1:0")
	for b.Loop() {
		if _, err := Listening("tcp", at.Port()); err != nil {
			b.Fatal(err)
		}
	}
}
