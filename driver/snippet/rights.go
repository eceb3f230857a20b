package snippet

import (
	"io/fs"
	"slices"
	"syscall"
)

// Rights as in the mode of a file, for one of owner, group and others.
const (
	MayEnter fs.FileMode = 1 // of a directory
	MayWrite fs.FileMode = 2
	MayRead  fs.FileMode = 4
)

// Allows reports whether the mode of a file gives rights to a user with these groups,
// as the kernel takes it: the owner has those of the owner alone, a member of the group
// those of the group alone. It knows neither capabilities nor access control lists.
func Allows(info fs.FileInfo, uid uint32, groups []uint32, rights fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == uid:
		mode >>= 6
	case slices.Contains(groups, st.Gid):
		mode >>= 3
	}
	return mode&rights == rights
}
