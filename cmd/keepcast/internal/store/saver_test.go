package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// disk is where a Saver of the tests writes; it may fail or hang.
type disk struct {
	mu      sync.Mutex
	written []int
	fail    error
	hang    chan struct{} // until closed
	told    []error
}

func (d *disk) write(v int) error {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.written = append(d.written, v)
	}
	return d.fail
}

func (d *disk) tell(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, err)
}

// fails has each write fail; nil: it works again.
func (d *disk) fails(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// hangs has each write wait until release is called.
func (d *disk) hangs() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hang := make(chan struct{})
	d.hang = hang
	return func() { close(hang) }
}

// running runs a Saver in a bubble, and stops it after the test.
func running(t *testing.T, test func(t *testing.T, d *disk, s *Saver[int], stop func())) {
	t.Helper()
	runningAt(t, "", test)
}

// runningAt is running for a Saver whose file is at path.
func runningAt(t *testing.T, path string, test func(t *testing.T, d *disk, s *Saver[int], stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		s := NewSaver(d.write, d.tell)
		s.Path = path
		stop := saving(t, s)
		test(t, d, s, stop)
		stop()
	})
}

func (d *disk) want(t *testing.T, values ...int) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.written, values) {
		t.Errorf("written are %v, want %v", d.written, values)
	}
}

func (d *disk) wantTold(t *testing.T, errs ...error) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.told, errs) {
		t.Errorf("told is %v, want %v", d.told, errs)
	}
}

var errFull = errors.New("no space left on device")

// Whoever puts never waits, though the disk hangs, and only the newest is written then.
func TestNewestWins(t *testing.T) {
	running(t, func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		s.Put(1)
		d.want(t, 1)
		release := d.hangs()
		for v := 2; v <= 100; v++ {
			s.Put(v)
			if v == 2 {
				synctest.Wait()
			}
		}
		d.want(t, 1)
		<-time.After(time.Hour)
		d.wantTold(t, pace.ErrHangs)
		release()
		d.want(t, 1, 2, 100)
		d.wantTold(t, pace.ErrHangs, nil)
	})
}

// What fails is tried again, ever more seldom, told once, and told again when it works.
func TestRetry(t *testing.T) {
	running(t, func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		d.fails(errFull)
		s.Put(1)
		<-time.After(time.Hour)
		d.wantTold(t, errFull)
		errReadOnly := errors.New("read-only file system")
		d.fails(errReadOnly)
		<-time.After(retryMost)
		d.wantTold(t, errFull, errReadOnly)
		d.fails(nil)
		<-time.After(time.Second - 1) // the tries are at 1, 3, 7, 15, 31, 61 s and so on
		d.want(t)
		<-time.After(1)
		d.want(t, 1)
		d.wantTold(t, errFull, errReadOnly, nil)
		<-time.After(time.Hour)
		d.want(t, 1)
	})
}

// A newer value is tried at once, and the old one never again.
func TestNewerValueWhileOneFails(t *testing.T) {
	running(t, func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		d.fails(errFull)
		s.Put(1)
		<-time.After(time.Hour)
		d.fails(nil)
		s.Put(2)
		d.want(t, 2)
		<-time.After(time.Hour)
		d.want(t, 2)
	})
}

// Whoever orders something learns whether it is on the disk, and does not wait for ever
// for one that hangs. A newer value has the older one in it.
func TestWait(t *testing.T) {
	running(t, func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		if err := s.Wait(s.Put(1), time.Hour); err != nil {
			t.Error(err)
		}
		d.fails(errFull)
		failing := s.Put(2)
		if err := s.Wait(failing, time.Hour); !errors.Is(err, errFull) {
			t.Errorf("a disk that is full: %v", err)
		}
		d.fails(nil)
		<-time.After(retryFirst)
		synctest.Wait()
		if err := s.Wait(failing, time.Hour); err != nil {
			t.Errorf("it worked meanwhile: %v", err)
		}
		release := d.hangs()
		first := s.Put(3)
		synctest.Wait()
		second, newest := s.Put(4), s.Put(5)
		began := time.Now()
		if err := s.Wait(first, time.Minute); !errors.Is(err, pace.ErrHangs) || time.Since(began) != time.Minute {
			t.Errorf("a disk that hangs: %v after %s", err, time.Since(began))
		}
		release()
		for _, number := range []uint64{newest, second, first} {
			if err := s.Wait(number, time.Hour); err != nil {
				t.Error(err)
			}
		}
		d.want(t, 1, 2, 3, 5)
	})
}

// A stop writes what is left, in the middle of a wait, too, and tries once only.
func TestStopWritesWhatIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		before func(d *disk, s *Saver[int])
		want   []int
	}{
		"nothing":        {func(*disk, *Saver[int]) {}, nil},
		"just put":       {func(_ *disk, s *Saver[int]) { s.Put(1) }, []int{1}},
		"it works again": {func(d *disk, s *Saver[int]) { d.fails(errFull); s.Put(1); <-time.After(time.Hour); d.fails(nil) }, []int{1}},
		"something newer": {func(d *disk, s *Saver[int]) {
			d.fails(errFull)
			s.Put(1)
			<-time.After(time.Hour)
			d.fails(nil)
			s.Put(2)
		}, []int{2}},
		"still fails": {func(d *disk, s *Saver[int]) { d.fails(errFull); s.Put(1); <-time.After(time.Hour) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			running(t, func(t *testing.T, d *disk, s *Saver[int], stop func()) {
				tc.before(d, s)
				began := time.Now()
				stop()
				if took := time.Since(began); took != 0 {
					t.Errorf("the stop took %s", took)
				}
				d.want(t, tc.want...)
			})
		})
	}
}

// A disk that hangs does not hold up the stop: it was never over then.
func TestStopWhileDiskHangs(t *testing.T) {
	running(t, func(t *testing.T, d *disk, s *Saver[int], stop func()) {
		release := d.hangs()
		s.Put(1)
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != pace.Patience {
			t.Errorf("the stop took %s", took)
		}
		d.wantTold(t, pace.ErrHangs, pace.ErrHangs)
		release()
		d.want(t, 1)
	})
}

// Somebody removed the file, and it stayed away until the next change: a restart in between
// knew nothing.
func TestSaverWritesWhatWasRemoved(t *testing.T) {
	runningAt(t, filepath.Join(t.TempDir(), "file"), func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		time.Sleep(2 * lookEvery)
		d.want(t) // there is nothing to write yet
		s.Put(7)
		d.want(t, 7)
		time.Sleep(lookEvery) // nothing of the tests writes the file itself
		d.want(t, 7, 7)
		d.fails(errFull)
		time.Sleep(lookEvery)
		d.wantTold(t, errFull)
		d.fails(nil)
		time.Sleep(retryMost)
		synctest.Wait() // it looks at this very moment
		if err := os.WriteFile(s.Path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		d.mu.Lock()
		n := len(d.written)
		d.mu.Unlock()
		time.Sleep(10 * lookEvery)
		d.want(t, slices.Repeat([]int{7}, n)...)
		if n < 3 {
			t.Errorf("written %d times", n)
		}
	})
}
