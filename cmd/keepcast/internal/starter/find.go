package starter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/kinds"
)

// Kinds returns the kinds of daemons that there is a starter for.
func Kinds() []string {
	var out []string
	for _, k := range withStarter() {
		out = append(out, k.Name)
	}
	return out
}

// withStarter returns the kinds of drivers that there is a starter for.
func withStarter() []driver.Kind {
	return slices.DeleteFunc(kinds.All(), func(k driver.Kind) bool { return k.Starter == nil })
}

// Root is the root directory of a host, mostly "/", below which daemons are looked for.
type Root string

// Find returns the daemons of the host, running ones first, and where it looked.
func (r Root) Find(ctx context.Context) (found []Daemon, looked []string, err error) {
	for _, k := range withStarter() {
		d, err := r.daemon(ctx, k)
		if err != nil {
			return nil, nil, err
		}
		looked = slices.Concat(looked, k.Starter.Sockets, k.Starter.Programs)
		if d.Found != "" {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b Daemon) int {
		switch {
		case a.Running == b.Running:
			return 0
		case a.Running:
			return -1
		}
		return 1
	})
	return found, looked, nil
}

// Daemon returns what is known of a kind of daemon on the host, which may be
// nothing: then the usual places are assumed.
func (r Root) Daemon(ctx context.Context, kind string) (Daemon, error) {
	k, err := kinds.ByName(kind)
	if err != nil {
		return Daemon{}, err
	}
	return r.daemon(ctx, k)
}

func (r Root) daemon(ctx context.Context, k driver.Kind) (Daemon, error) {
	var listening []string
	for _, pattern := range k.Starter.Sockets {
		for _, path := range r.glob(pattern) {
			if r.listens(ctx, path) {
				listening = append(listening, path)
			}
		}
	}
	start, err := k.Starter.Begin(ctx, string(r), listening)
	if err != nil {
		return Daemon{}, fmt.Errorf("starter for %s: %w", k.Name, err)
	}
	d := Daemon{Kind: k.Name, Title: k.Starter.Title, Running: len(listening) > 0, Found: start.Socket, Start: start}
	switch {
	case d.Found != "":
	case d.Running:
		d.Found = listening[0]
	default:
		d.Found = r.first(k.Starter.Programs)
	}
	return d, nil
}

// first returns the first of the paths that is there, or "".
func (r Root) first(paths []string) string {
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(string(r), path)); err == nil {
			return path
		}
	}
	return ""
}

// glob returns the paths below the root that match, without the root.
func (r Root) glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(string(r), pattern))
	if err != nil {
		return nil // the patterns are constants
	}
	for i, path := range found {
		found[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(path, string(r)), "/")
	}
	return found
}

// listens tells whether somebody listens at a unix socket: a daemon that was
// killed leaves its socket behind.
func (r Root) listens(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(string(r), path))
	if err != nil {
		return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EAGAIN)
	}
	conn.Close()
	return true
}
