package bird

import (
	"os"
	"syscall"
	"time"
)

// stamp tells whether a file was touched: put in place anew, edited or put back.
type stamp struct {
	inode   uint64
	changed syscall.Timespec // its ctime, which nobody can set
}

// stampOf returns that of the file path, the zero one if it is not there.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{st.Ino, st.Ctim}
}

// touched reports whether somebody touched the snippet since the driver last had it
// loaded. BIRD may have loaded what stood there meanwhile, and that may have kept the
// fingerprint: an operator's edit, for example. What stood there when the driver came
// counts as loaded.
func (b *Driver) touched() bool {
	now := stampOf(b.Snippet)
	if b.loaded == nil {
		b.loaded = &now
	}
	return *b.loaded != now
}

// nowLoaded notes that BIRD has what is in the snippet's place now, or will have.
func (b *Driver) nowLoaded() {
	now := stampOf(b.Snippet)
	b.loaded = &now
}

// modified returns when the content of a file was last changed, the zero time if it is
// not there.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
