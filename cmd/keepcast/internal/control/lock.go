package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/snippet"
)

// Lock is the claim of one keepcast on its runtime directory: a file there that the kernel
// holds for it. The kernel lets go of it when keepcast ends, however it ends.
type Lock struct {
	path string
	file *os.File
}

func lockFile(runtimeDir string) string { return filepath.Join(runtimeDir, "lock") }

// TakeLock takes the lock of a runtime directory, which may be missing. The error names
// who has it.
func TakeLock(ctx context.Context, runtimeDir string) (*Lock, error) {
	if err := os.MkdirAll(runtimeDir, 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	path := lockFile(runtimeDir)
	// For us alone: who can open it can hold it.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	l := &Lock{path, file}
	if err := l.take(ctx); err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return l, nil
}

// lockTries is how often the lock is tried, a tenth of a second apart: LockHolder has it
// for a moment, too.
const lockTries = 5

func (l *Lock) take(ctx context.Context) error {
	for tries := 1; ; tries++ {
		err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return l.sign()
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", l.path, err)
		case tries == lockTries || !pace.Wait(ctx, 100*time.Millisecond):
			return fmt.Errorf("another keepcast is running%s: it holds %s", pidText(signature(l.file)), l.path)
		}
	}
}

// sign writes who holds the lock, and gives the file to the owner of its directory: a
// keepcast that root ran by hand must not keep the user keepcast out later.
func (l *Lock) sign() error {
	dir, err := os.Stat(filepath.Dir(l.path))
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if of, ok := dir.Sys().(*syscall.Stat_t); ok && int(of.Uid) != os.Geteuid() {
		_ = l.file.Chown(int(of.Uid), int(of.Gid)) // who may not is not root, and harms nobody
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// signature returns who has signed a lock; 0 if nobody has.
func signature(file *os.File) int {
	text, _ := io.ReadAll(io.NewSectionReader(file, 0, 20)) // what can't be read is nobody
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text))) // and so is what is no number
	return pid
}

func pidText(pid int) string {
	if pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// Release lets go of the lock. The file stays: who removed it could remove that of
// somebody who has just taken it.
func (l *Lock) Release() { _ = l.file.Close() } // nobody is to be told

// there returns an error if the file is no longer the one that is held: another keepcast
// could take it.
func (l *Lock) there() error {
	held, err := l.file.Stat()
	if err != nil {
		return err
	}
	return stillAt(l.path, held)
}

// LockHolder returns whether a keepcast holds the lock of a runtime directory, and which
// one, as far as that can be known. It changes nothing.
func LockHolder(runtimeDir string) (pid int, held bool) {
	file, err := os.OpenFile(lockFile(runtimeDir), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return lockedBy(lockFile(runtimeDir))
	}
	if err != nil {
		return 0, false
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, false
	}
	return signature(file), true
}

// lockedBy is LockHolder for those who may not open the file, such as the group keepcast: the
// kernel has a list of all locks.
func lockedBy(path string) (pid int, held bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0, false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, false
	}
	where := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(locks)) {
		// Such as "1: FLOCK  ADVISORY  WRITE 4711 00:1b:96 0 EOF".
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "FLOCK" && f[3] == "WRITE" && f[5] == where {
			pid, _ = strconv.Atoi(f[4]) // what is no number is nobody
			return pid, true
		}
	}
	return 0, false
}

// keeper keeps a lock that somebody may remove.
type keeper struct {
	lock    *Lock
	log     *slog.Logger
	dir     snippet.Directory              // that of the lock
	finding atomic.Pointer[driver.Finding] // while it is lost
}

// found returns that the lock is lost, nil while it is not.
func (k *keeper) found() *driver.Finding { return k.finding.Load() }

// keep looks at the lock until ctx is done, and takes it anew if it was removed.
func (k *keeper) keep(ctx context.Context) {
	k.dir.Note(filepath.Dir(k.lock.path))
	for pace.Wait(ctx, lookEvery) {
		lost := k.lock.there()
		if lost == nil {
			continue
		}
		again, err := k.takeAnew(ctx)
		if err == nil {
			k.lock.Release()
			*k.lock = *again
			k.finding.Store(nil)
			k.log.Warn("the lock was removed, and is taken anew", "file", k.lock.path)
			continue
		}
		f := driver.Finding{
			Name: "lock-lost", Level: driver.LevelError, Subject: filepath.Dir(k.lock.path),
			Text: lost.Error() + ", and can't be taken anew: " + err.Error(),
			Fix:  "see that only one keepcast runs with this runtime_directory; then systemctl restart keepcast: a restart moves no route",
		}
		if k.finding.Swap(&f) == nil && ctx.Err() == nil {
			k.log.Error("lock lost", "err", f.Text, "fix", f.Fix)
		}
	}
}

// takeAnew takes the lock again, and makes its directory as it was, if that is gone, too.
func (k *keeper) takeAnew(ctx context.Context) (*Lock, error) {
	if err := k.dir.Restore(); err != nil {
		return nil, err
	}
	return TakeLock(ctx, filepath.Dir(k.lock.path))
}
