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
	"github.com/keepcast/keepcast/driver/snippet"
)

// configuration has BIRD check its configuration, and looks through the files of
// it for what BIRD does not tell.
func (b *Driver) configuration(ctx context.Context, desired driver.State, status reply) []driver.Finding {
	out := findRouterID(status, desired)
	r, err := b.ask(ctx, "configure check")
	switch {
	case refusalCode(err) == codeConfigError:
		out = append(out, driver.Finding{
			Name: "configuration-refused", Level: driver.LevelError, Subject: "bird", Text: "refuses its configuration as it is on disk, so no change can be loaded: " + r.text(codeConfigError),
			Fix: "correct it, then run birdc configure",
		})
	case err != nil:
		return append(out, b.unreachable(err))
	}
	text, ok := readFiles(strings.TrimPrefix(r.text(codeReading), "Reading configuration from "))
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
		text, err := os.ReadFile(file) //nolint:gosec // the operator's own configuration names it
		if err != nil {
			return "", false
		}
		bare := withoutComments(string(text))
		out.WriteString(bare + "\n")
		for _, m := range regexp.MustCompile(`(?m)^\s*include\s+"([^"]+)"`).FindAllStringSubmatch(bare, -1) {
			pattern := m[1]
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(file), pattern)
			}
			found, err := filepath.Glob(pattern)
			if err != nil {
				return "", false
			}
			files = append(files, found...)
		}
	}
	return out.String(), true
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
