package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/snippet"
)

// need is a path that keepcast needs, and for whom.
type need struct{ subject, path string }

// needs returns the files that keepcast replaces, and the sockets that it
// speaks to. Whether the sockets are there is up to the drivers.
func needs(cfg *config.Config) (files, sockets []need) {
	for _, d := range cfg.Drivers {
		e, ok := d.Driver.(driver.Examiner)
		if !ok {
			continue
		}
		needs := e.Places()
		for _, path := range needs.Files {
			files = append(files, need{d.Name, path})
		}
		for _, path := range needs.Sockets {
			sockets = append(sockets, need{d.Name, path})
		}
	}
	return files, sockets
}

// permissions says what the account that keepcast runs as may not do, but has to.
func (h Facts) permissions(cfg *config.Config) []driver.Finding {
	if h.Account.Unknown {
		return []driver.Finding{{
			Name: "account-unknown", Level: driver.LevelInfo, Subject: "keepcast",
			Text: "nothing tells this user whom it runs as, so nobody has looked whether it may do what it has to", Fix: "run doctor as root",
		}}
	}
	var out []driver.Finding
	if h.Account.lacks(capNetAdmin) && cfg.ManageAddresses && h.Running != nil {
		out = append(out, driver.Finding{
			Name: "no-net-admin", Level: driver.LevelError, Subject: "keepcast",
			Text: "runs without the capability CAP_NET_ADMIN, so it can neither add nor remove addresses",
			Fix:  "give it that: AmbientCapabilities=CAP_NET_ADMIN in its unit, then systemctl daemon-reload and restart it",
		})
	}
	files, sockets := needs(cfg)
	for _, f := range files {
		out = append(out, h.writable(f)...)
	}
	for _, s := range sockets {
		if d := h.Account.may(s.path, snippet.MayWrite); d != nil {
			out = append(out, driver.Finding{
				Name: "socket-forbidden", Level: driver.LevelError, Subject: s.subject,
				Text: fmt.Sprintf("user %s may not connect to %s: %s", h.Account.Name, s.path, d), Fix: d.fix(),
			})
		}
	}
	for _, dir := range []string{cfg.RuntimeDir, cfg.StateDir} {
		if d := h.Account.may(dir, snippet.MayWrite|snippet.MayEnter); d != nil {
			out = append(out, driver.Finding{
				Name: "directory-unwritable", Level: driver.LevelError, Subject: "keepcast",
				Text: fmt.Sprintf("user %s may not write into %s, where it keeps its state: %s", h.Account.Name, dir, d),
				Fix:  fmt.Sprintf("chown %s %s; restart keepcast", h.Account.Name, d.path),
			})
		}
	}
	return out
}

// writable says why keepcast could not replace a file: by a new one beside it.
func (h Facts) writable(f need) []driver.Finding {
	dir := filepath.Dir(f.path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return []driver.Finding{{
			Name: "snippet-directory-missing", Level: driver.LevelError, Subject: f.subject,
			Text: fmt.Sprintf("%s does not exist, so keepcast can't write %s", dir, filepath.Base(f.path)),
			Fix:  "make it, or name another place in the configuration: mkdir " + dir,
		}}
	}
	if d := h.Account.may(dir, snippet.MayWrite|snippet.MayEnter); d != nil {
		return []driver.Finding{{
			Name: "snippet-unwritable", Level: driver.LevelError, Subject: f.subject,
			Text: fmt.Sprintf("user %s can't replace %s: %s", h.Account.Name, f.path, d), Fix: d.fix(),
		}}
	}
	return nil
}
