package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// Root ran keepcast in the directory of the user keepcast, and after "rm -rf" of it the
// directory was root's: the unit could not write there any more. Whoever makes it anew makes
// it as it was.
func TestRuntimeDirectoryRemoved(t *testing.T) {
	drivertest.NeedsRoot(t, "to give a directory away")
	remove := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, again := range map[string]func(t *testing.T, dir string){
		"lock": func(t *testing.T, dir string) {
			synctest.Test(t, func(t *testing.T) {
				l := taken(t, dir)
				keeps(t, l, func(*keeper) {
					synctest.Wait()
					remove(t, dir)
					time.Sleep(2 * lookEvery)
					if _, held := LockHolder(dir); !held {
						t.Error("nobody holds the lock")
					}
				})
			})
		},
		"socket": func(t *testing.T, dir string) {
			listen := ListenAnew(filepath.Join(dir, "keepcast.sock"))
			remove(t, dir)
			l, err := listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(drivertest.SocketDir(t), "run")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o751), os.Chown(dir, 1234, 2345)); err != nil {
				t.Fatal(err)
			}
			again(t, dir)
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); info.Mode() != fs.ModeDir|0o751 || st.Uid != 1234 || st.Gid != 2345 {
				t.Errorf("the directory is %s %d:%d", info.Mode(), st.Uid, st.Gid)
			}
		})
	}
}
