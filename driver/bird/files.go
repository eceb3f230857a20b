package bird

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/snippet"
)

// configuration has BIRD check its configuration, and looks through the files of
// it for what BIRD does not tell.
func (b *Driver) configuration(ctx context.Context, desired driver.State, status ctl.Reply) []driver.Finding {
	out := findRouterID(status, desired)
	r, err := b.ask(ctx, "configure check")
	switch {
	case ctl.RefusalCode(err) == ctl.CodeConfigError:
		out = append(out, configurationRefused(r.Text(ctl.CodeConfigError)))
	case err != nil:
		return append(out, b.unreachable(err))
	}
	text, ok := readFiles(configurationFile(r))
	if !ok {
		return out // it may not be keepcast's to read
	}
	if !regexp.MustCompile(`\brouter\s+id\b`).MatchString(text) {
		out = append(out, driver.Finding{
			Name: "router-id", Level: driver.LevelWarning, Subject: "bird", Text: "its configuration sets no router id, so it takes the lowest address that it finds at its start, which can be an anycast address",
			Fix: "set in bird.conf: router id ADDRESS; with an address that only this host has",
		})
	}
	return append(out, findScan(text)...)
}

// configurationFile returns the file that BIRD told it reads its configuration from, or ""
// if that can't be known: BIRD's own working directory is not keepcast's.
func configurationFile(r ctl.Reply) string {
	if path := strings.TrimPrefix(r.Text(ctl.CodeReading), "Reading configuration from "); filepath.IsAbs(path) {
		return path
	}
	return ""
}

// findScan says that BIRD looks rarely at what netlink should have told it.
func findScan(text string) []driver.Finding {
	every := "60" // BIRD's default (sysdep/unix/krt.c, kif_init_config)
	if m := regexp.MustCompile(`protocol\s+device\b[^{]*\{[^}]*\bscan\s+time\s+(\d+)`).FindStringSubmatch(text); m != nil {
		every = m[1]
	}
	if seconds, err := strconv.Atoi(every); err != nil || seconds <= shortScan {
		return nil
	}
	return []driver.Finding{{
		Name: "device-scan", Level: driver.LevelInfo, Subject: "bird", Text: "looks only every " + every + " s at the interfaces, should it have missed a message of the kernel about an address",
		Fix: fmt.Sprintf("set in bird.conf: protocol device { scan time %d; }", shortScan),
	}}
}

// readFiles returns the text of a configuration file and of all that it includes,
// without comments, and whether all could be read.
func readFiles(path string) (string, bool) {
	var out strings.Builder
	read := map[string]bool{} // once each, or one that includes itself would never end
	for files := []string{path}; len(files) > 0; {
		file := files[0]
		files = files[1:]
		if read[file] {
			continue
		}
		read[file] = true
		text, err := os.ReadFile(file)
		if err != nil {
			return "", false
		}
		bare := withoutComments(string(text))
		out.WriteString(bare + "\n")
		found, ok := globAll(includePatterns(file, bare))
		if !ok {
			return "", false
		}
		files = append(files, found...)
	}
	return out.String(), true
}

// includePatterns returns what a file includes, whose text is without comments.
func includePatterns(file, bare string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^\s*include\s+"([^"]+)"`).FindAllStringSubmatch(bare, -1) {
		pattern := m[1]
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(file), pattern)
		}
		out = append(out, pattern)
	}
	return out
}

// globAll returns the files that patterns match, and whether all are patterns.
func globAll(patterns []string) ([]string, bool) {
	var out []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, false
		}
		out = append(out, found...)
	}
	return out, true
}

// includes remembers what files include, so that one that did not change is not read again.
type includes map[string]includedBy

type includedBy struct {
	stamp    stamp
	patterns []string
}

// walk returns a configuration file and all that it includes, as far as keepcast may read
// them.
func (i *includes) walk(path string) []string {
	var out []string
	now := includes{}
	for files := []string{path}; len(files) > 0; files = files[1:] {
		file := files[0]
		if _, known := now[file]; known {
			continue
		}
		known, stamp := (*i)[file], stampOf(file)
		if known.stamp != stamp {
			text, err := os.ReadFile(file)
			if err != nil {
				stamp = known.stamp // tried again
			}
			known.patterns = includePatterns(file, withoutComments(string(text)))
		}
		now[file] = includedBy{stamp, known.patterns}
		out = append(out, file)
		more, _ := globAll(known.patterns)
		files = append(files, more...)
	}
	*i = now
	return out
}

// withoutComments is a text of BIRD's configuration language without comments.
func withoutComments(text string) string {
	return regexp.MustCompile(`(?s)/\*.*?\*/|#[^\n]*`).ReplaceAllString(text, " ")
}

// stale says that BIRD does not run the snippet that is on disk. It asks anew: while
// the rest was looked at, keepcast may have had it load another.
func (b *Driver) stale(ctx context.Context) ([]driver.Finding, error) {
	text, err := os.ReadFile(b.Snippet)
	if err != nil {
		return nil, nil //nolint:nilerr // what is wrong with the file is for readable to say
	}
	running, err := b.running(ctx)
	if err != nil || running == "" || strings.Contains(string(text), `"`+running+`"`) {
		return nil, err
	}
	return []driver.Finding{{
		Name: "snippet-differs", Level: driver.LevelError, Subject: "bird", Text: fmt.Sprintf("runs another snippet (keepcast_state %q) than is in %s", running, b.Snippet),
		Fix: "correct the include line in bird.conf if it names another file, then run birdc configure",
	}}, nil
}

// readable says that BIRD may not read the snippet, so that it could not start.
// BIRD runs as the owner of its socket.
func (b *Driver) readable() []driver.Finding {
	socket, err := os.Stat(b.Socket)
	if err != nil {
		return nil // it answered a moment ago
	}
	bird, ok := socket.Sys().(*syscall.Stat_t)
	if !ok || bird.Uid == 0 {
		return nil
	}
	for _, path := range []string{filepath.Dir(b.Snippet), b.Snippet} {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil // not keepcast's to know
		case err != nil:
			return []driver.Finding{{
				Name: "snippet-missing", Level: driver.LevelError, Subject: "bird", Text: "could not start: " + err.Error(),
				Fix: "start keepcast, which writes it, or have it written: keepcast render bird > " + b.Snippet,
			}}
		}
		rights := snippet.MayRead
		if info.IsDir() {
			rights = snippet.MayEnter
		}
		if !snippet.Allows(info, bird.Uid, []uint32{bird.Gid}, rights) {
			return []driver.Finding{{
				Name: "snippet-unreadable", Level: driver.LevelError, Subject: "bird",
				Text: fmt.Sprintf("runs as user %d, group %d, and may not read %s (mode %04o): it could not start, nor load a change", bird.Uid, bird.Gid, path, info.Mode().Perm()),
				Fix:  fmt.Sprintf("chgrp %d %s && chmod g+%s %s", bird.Gid, path, map[bool]string{true: "rx", false: "r"}[info.IsDir()], path),
			}}
		}
	}
	return nil
}
