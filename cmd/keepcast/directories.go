package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// makeDirectories makes those for what is saved, side by side: both may hang.
func makeDirectories(cfg *config.Config) error {
	return pace.SideBySide([]string{cfg.RuntimeDir, cfg.StateDir}, func(_ int, dir string) error {
		err := pace.Done(pace.Patience, func() error { return os.MkdirAll(dir, 0o755) })
		if err == nil || errors.Is(err, pace.ErrHangs) { // what can't be saved where it hangs will be a finding
			return nil
		}
		return fmt.Errorf("directory for the state: %w (%s)", err, directoryFix(err))
	})
}

// directoryFix is what to do about an error of making a directory. Root helps only where
// rights are wanting.
func directoryFix(err error) string {
	const see = "see runtime_directory and state_directory"
	if errors.Is(err, fs.ErrPermission) {
		return "run as root, or " + see
	}
	return see
}

// savedDir is a directory in which a configuration is saved. If others may write there, that
// is not believed when it is needed, and then nobody has the time to mend it.
type savedDir struct {
	look    func() *driver.Finding
	log     *slog.Logger
	finding atomic.Pointer[driver.Finding] // while others may write
}

// savedDirs returns those of a configuration.
func savedDirs(cfg *config.Config, log *slog.Logger) (dirs []*savedDir) {
	for _, look := range doctor.Untrusted(cfg) {
		dirs = append(dirs, &savedDir{look: look, log: log})
	}
	return dirs
}

// savedLook is how often they are looked at.
const savedLook = 10 * time.Second

// keep looks at it until ctx is done.
func (s *savedDir) keep(ctx context.Context) {
	for {
		was, is := s.finding.Load(), s.look()
		s.finding.Store(is)
		switch {
		case is != nil && (was == nil || *is != *was):
			s.log.Warn("the configuration that is saved is not believed", "directory", is.Subject, "err", is.Text, "fix", is.Fix)
		case is == nil && was != nil:
			s.log.Info("the configuration that is saved is believed again", "directory", was.Subject)
		}
		if !pace.Wait(ctx, savedLook) {
			return
		}
	}
}
