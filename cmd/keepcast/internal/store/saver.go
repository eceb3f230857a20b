package store

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/snippet"
)

// The waits before a save that failed is tried again.
const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
)

// lookEvery is how often a Saver looks whether its file is still there.
const lookEvery = 30 * time.Second

// Saver has values written by a goroutine of its own. Only the newest one counts: older
// ones that were not written yet are dropped. A write that fails is tried again for ever.
type Saver[T any] struct {
	// Path is the file that write replaces: if somebody removes it, its copy or its
	// directory, the newest value is written again. Empty: nobody looks. It is set before Run.
	Path string

	write func(T) error
	tell  func(error)
	box   pace.Mailbox[numbered[T]]
	last  uint64                   // the number of the newest value; of the goroutine that puts
	done  atomic.Pointer[progress] // replaced as a whole by the goroutine that writes

	// What follows belongs to the goroutine that writes.
	told   error
	dir    snippet.Directory // of the file
	copied bool              // write made a copy, too
	again  bool              // the directory is to be made again, if it is missing
}

// numbered is a value and its number.
type numbered[T any] struct {
	value  T
	number uint64
}

// progress is how far the writing has got.
type progress struct {
	tried, written uint64        // the numbers of the last value that was tried, and that was written
	err            error         // of the last try
	next           chan struct{} // closed when there is another progress
}

// NewSaver returns a Saver that writes nothing before Run. Write gets a value that nobody
// changes any more. Tell is called by another goroutine: with an error when saving begins
// to fail or fails for another reason, with nil when it works again.
func NewSaver[T any](write func(T) error, tell func(error)) *Saver[T] {
	s := &Saver[T]{write: write, tell: tell, box: pace.NewMailbox[numbered[T]]()}
	s.done.Store(&progress{next: make(chan struct{})})
	return s
}

// Put has v written instead of what was put before, and returns its number. It never
// blocks. One goroutine puts.
func (s *Saver[T]) Put(v T) (number uint64) {
	s.last++
	s.box.Put(numbered[T]{v, s.last})
	return s.last
}

// Wait waits until the value with that number, or a newer one, is written. It returns the
// error if that fails, and pace.ErrHangs if the limit is over. In both cases writing goes on.
func (s *Saver[T]) Wait(number uint64, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p := s.done.Load()
		switch {
		case p.written >= number:
			return nil
		case p.tried >= number:
			return p.err
		}
		select {
		case <-p.next:
		case <-timer.C:
			return pace.ErrHangs
		}
	}
}

// Run writes what is put until ctx is done, and then what is left. For that it waits for
// pace.Patience at most. A write that hangs is left alone then.
func (s *Saver[T]) Run(ctx context.Context) {
	if !Abandon(ctx, s.work) {
		s.tell(pace.ErrHangs)
	}
}

// work writes until ctx is done, and then what is left.
func (s *Saver[T]) work(ctx context.Context) {
	var newest numbered[T]
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			select {
			case v := <-s.box:
				s.try(v)
			default:
			}
			return
		case v := <-s.box:
			newest = s.persist(ctx, v)
		case <-look.C:
			if newest.number > 0 && s.lost() {
				s.again = true
				newest = s.persist(ctx, newest)
			}
		}
	}
}

// lost reports whether somebody has removed the file or its copy. What can't be looked at,
// or not in time, may be lost, too.
func (s *Saver[T]) lost() bool {
	if s.Path == "" {
		return false
	}
	copied := s.copied
	return nil != pace.Done(pace.Patience, func() error {
		_, err := os.Lstat(s.Path)
		if err == nil && copied {
			_, err = os.Lstat(CopyOf(s.Path))
		}
		return err
	})
}

// place writes a value, and notes what there is to be looked at. A directory that somebody
// removed is made again only after a while: one that was moved away may come back.
func (s *Saver[T]) place(v T) error {
	if s.Path == "" {
		return s.write(v)
	}
	s.dir.Note(filepath.Dir(s.Path))
	if s.again {
		if err := s.dir.Restore(); err != nil {
			return err
		}
	}
	if err := s.write(v); err != nil {
		return err
	}
	s.again = false
	_, err := os.Lstat(CopyOf(s.Path))
	s.copied = err == nil
	return nil
}

// persist tries until it has written v or a newer value, which it returns. After the end of
// ctx it tries once more.
func (s *Saver[T]) persist(ctx context.Context, v numbered[T]) numbered[T] {
	began := time.Now()
	for failures := 1; !s.try(v); failures++ {
		if ctx.Err() != nil {
			break
		}
		timer := time.NewTimer(pace.Backoff(retryFirst, retryMost, failures))
		select {
		case <-ctx.Done():
			select {
			case v = <-s.box:
			default:
			}
		case v = <-s.box:
		case <-timer.C:
		}
		timer.Stop()
		s.again = s.again || time.Since(began) >= lookEvery
	}
	return v
}

// try writes a value, and publishes and tells what came of it.
func (s *Saver[T]) try(v numbered[T]) (ok bool) {
	var err error
	Attended(pace.Patience, func() { s.report(pace.ErrHangs) }, func() { err = s.place(v.value) })
	s.report(err)
	before := s.done.Load()
	now := progress{tried: v.number, written: before.written, err: err, next: make(chan struct{})}
	if err == nil {
		now.written = v.number
	}
	s.done.Store(&now)
	close(before.next)
	return err == nil
}

// report tells an error that is another one than before.
func (s *Saver[T]) report(err error) {
	if told(err) != told(s.told) {
		s.tell(err)
	}
	s.told = err
}

func told(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
