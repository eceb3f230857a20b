package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/keepcast/keepcast/driver/pace"
)

// hurrying counts the signals that tell the daemon to stop. The first ends its context, as
// that of every command. The second closes hurry: nobody waits for linger then. The third
// ends the process where it stands, whatever it hangs in, and leaves the host as it is.
// The function that is returned ends the counting.
func hurrying() (hurry <-chan struct{}, end func()) {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	second, done := make(chan struct{}), make(chan struct{})
	var counting sync.WaitGroup
	counting.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			switch n {
			case 2:
				close(second)
			case 3:
				pace.Within(logFlush, func() {
					fmt.Fprintln(os.Stderr, "keepcast: ended by a third signal, the host is left as it is: \"keepcast withdraw-all\" withdraws what is left")
				})
				os.Exit(exitLeft)
			}
		}
	})
	return second, func() {
		signal.Stop(signals)
		close(done)
		counting.Wait()
	}
}
