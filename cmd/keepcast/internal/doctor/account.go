package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/snippet"
	"github.com/keepcast/keepcast/driver/trust"
)

// Account is whom keepcast runs as, with what that lets it do.
type Account struct {
	Name   string
	UID    uint32
	Groups []uint32 // the primary one and the others
	// Caps are the effective capabilities (capabilities(7)), where known.
	Caps      uint64
	KnowsCaps bool
	// Unknown: nothing tells whom keepcast runs as.
	Unknown bool
}

// Bits of Account.Caps, as in linux/capability.h.
const (
	capDACOverride = 1
	capNetAdmin    = 12
)

// lacks reports whether the account is known to be without a capability.
func (a Account) lacks(bit int) bool { return a.KnowsCaps && a.Caps&(1<<bit) == 0 }

// RunsAs returns whom keepcast runs as: the process behind the control socket; else the
// owner of that socket; without one the user keepcast, which the package makes; without
// that the caller, if it is root. Another caller is not taken for keepcast.
func RunsAs(ctx context.Context, socket string) (Account, error) {
	if pid := peer(ctx, socket); pid > 0 {
		if a, err := process(os.DirFS("/proc"), strconv.Itoa(pid)); err == nil {
			return a, nil
		}
	}
	if info, err := os.Stat(socket); err == nil {
		if u, err := user.LookupId(strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid))); err == nil {
			return accountOf(u)
		}
	}
	if u, err := user.Lookup("keepcast"); err == nil {
		return accountOf(u)
	}
	if os.Geteuid() != 0 {
		return Account{Name: "unknown", UID: nobody, Unknown: true}, nil
	}
	return process(os.DirFS("/proc"), "self")
}

// Barred is that of Facts for whoever runs this. Who is the account itself learns what
// keepcast would.
func (a Account) Barred(socket string) error {
	if a.own() {
		return nil
	}
	return unix.Faccessat(unix.AT_FDCWD, socket, unix.W_OK, unix.AT_EACCESS)
}

// own reports whether this runs as the account itself.
func (a Account) own() bool { return os.Geteuid() == int(a.UID) && !a.Unknown }

// Examines reports whether who runs this may see all files that keepcast may.
func (a Account) Examines() bool { return os.Geteuid() == 0 || a.own() }

// peer returns the process that listens at a unix socket; 0 if none does.
func peer(ctx context.Context, socket string) int {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0
	}
	defer conn.Close()
	return trust.PeerProcess(conn)
}

// process reads the account of a process from proc(5), file PID/status.
func process(proc fs.FS, pid string) (Account, error) {
	text, err := fs.ReadFile(proc, pid+"/status")
	if err != nil {
		return Account{}, fmt.Errorf("account of process %s: %w", pid, err)
	}
	a := Account{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		words := strings.Fields(value)
		switch {
		case key == "Uid" && len(words) > 1:
			a.UID = number(words[1]) // real, effective, saved, of the file system
		case key == "Gid" && len(words) > 1:
			a.Groups = append(a.Groups, number(words[1]))
		case key == "Groups":
			for _, w := range words {
				a.Groups = append(a.Groups, number(w))
			}
		case key == "CapEff" && len(words) == 1:
			a.Caps, err = strconv.ParseUint(words[0], 16, 64)
			a.KnowsCaps = err == nil
		}
	}
	a.Name = nameOf(a.UID)
	return a, nil
}

// nobody is what an id that can't be read counts as: it owns nothing.
const nobody = 65534

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nobody
	}
	return uint32(n)
}

func accountOf(u *user.User) (Account, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return Account{}, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	a := Account{Name: u.Username, UID: number(u.Uid), Groups: []uint32{number(u.Gid)}}
	for _, g := range groups {
		a.Groups = append(a.Groups, number(g))
	}
	return a, nil
}

func nameOf(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// may returns nil if the account has the rights on path, and may enter what is
// above it. What can't be seen from here, or is up to an access control list,
// is taken for allowed.
func (a Account) may(path string, rights fs.FileMode) *denied {
	if a.Unknown || a.UID == 0 && !a.lacks(capDACOverride) || a.KnowsCaps && !a.lacks(capDACOverride) {
		return nil
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	if d := a.judge(path, rights); d != nil {
		return d
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if d := a.judge(dir, snippet.MayEnter); d != nil {
			return d
		}
		if dir == "/" {
			return nil
		}
	}
}

func (a Account) judge(path string, rights fs.FileMode) *denied {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || hasACL(path) {
		return nil
	}
	if snippet.Allows(info, a.UID, a.Groups, rights) {
		return nil
	}
	return &denied{account: a, path: path, mode: info.Mode(), owner: st.Uid, group: st.Gid, rights: rights}
}

func hasACL(path string) bool {
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// denied tells what an account may not do, and with what.
type denied struct {
	account      Account
	path         string
	mode         fs.FileMode
	owner, group uint32
	rights       fs.FileMode
}

// String is such as "/etc/bird is drwxr-x--- of user bird and group bird".
func (d denied) String() string {
	return fmt.Sprintf("%s is %s of user %s and group %s", d.path, d.mode, nameOf(d.owner), groupName(d.group))
}

// fix is how the account gets the rights: by the group where that has them.
func (d denied) fix() string {
	var steps []string
	if d.group != 0 && !slices.Contains(d.account.Groups, d.group) {
		steps = append(steps, fmt.Sprintf("usermod -aG %s %s", groupName(d.group), d.account.Name))
	}
	if d.group == 0 {
		steps = append(steps, fmt.Sprintf("chgrp %s %s", d.account.group(), d.path))
	}
	if missing := d.rights &^ (d.mode.Perm() >> 3); missing != 0 {
		letters := ""
		if missing&snippet.MayRead != 0 {
			letters += "r"
		}
		if missing&snippet.MayWrite != 0 {
			letters += "w"
		}
		if missing&snippet.MayEnter != 0 {
			letters += "x"
		}
		steps = append(steps, fmt.Sprintf("chmod g+%s %s", letters, d.path))
	}
	return strings.Join(append(steps, "restart keepcast"), "; ")
}

// group names the primary group.
func (a Account) group() string {
	if len(a.Groups) == 0 {
		return a.Name
	}
	return groupName(a.Groups[0])
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}
