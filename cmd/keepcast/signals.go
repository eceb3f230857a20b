package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/keepcast/keepcast/driver/pace"
)

// heeding heeds the signals to the daemon, from the beginning of its run on. SIGHUP, which would
// end the process, comes out of hangups. Those that tell it to stop are counted. The first ends
// its context, as that of every command. The second closes hurry: nobody waits for linger then.
// The third ends the process where it stands, whatever it hangs in, and leaves the host as it
// is. The function that is returned ends all that.
func heeding() (hangups <-chan os.Signal, hurry <-chan struct{}, end func()) {
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
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
	return reloads, second, func() {
		signal.Stop(reloads)
		signal.Stop(signals)
		close(done)
		counting.Wait()
	}
}
