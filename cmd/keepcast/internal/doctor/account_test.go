package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestProcess(t *testing.T) {
	proc := fstest.MapFS{"7/status": {Data: []byte("Name:\tkeepcast\nUid:\t1\t64001\t1\t1\nGid:\t1\t64002\t1\t1\nGroups:\t64003 64004 \nCapEff:\t0000000000001000\n")}}
	got, err := process(proc, "7")
	want := Account{Name: "64001", UID: 64001, Groups: []uint32{64002, 64003, 64004}, Caps: 1 << capNetAdmin, KnowsCaps: true}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if got.lacks(capNetAdmin) || !got.lacks(capDACOverride) {
		t.Error("capabilities are read wrongly")
	}
	if _, err := process(proc, "8"); err == nil {
		t.Error("no error without the process")
	}
}

// The process at the socket tells, if there is one.
func TestRunsAs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if pid := peer(t.Context(), socket); pid != os.Getpid() {
		t.Errorf("process %d, want %d", pid, os.Getpid())
	}
	a, err := RunsAs(t.Context(), socket)
	if err != nil || a.UID != uint32(os.Getuid()) || !a.KnowsCaps {
		t.Errorf("%+v, %v", a, err)
	}
	l.Close()
	if pid := peer(t.Context(), socket); pid != 0 {
		t.Errorf("process %d without a listener", pid)
	}
}

// Who may not connect to the control socket still sees whose it is.
func TestRunsAsOwner(t *testing.T) {
	drivertest.NeedsRoot(t, "to give files away")
	socket := filepath.Join(t.TempDir(), "s")
	drivertest.WriteFile(t, socket, "")
	if err := os.Chown(socket, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if a, err := RunsAs(t.Context(), socket); err != nil || a.UID != nobody || a.KnowsCaps || a.Unknown {
		t.Errorf("%+v, %v", a, err)
	}
}

// tree makes directories and files owned by root, of a group and with a mode.
func tree(t *testing.T) string {
	t.Helper()
	drivertest.NeedsRoot(t, "to give files away")
	dir, err := os.MkdirTemp("/tmp", "kc-doctor-") // others may enter down to here
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, f := range []struct {
		name string
		mode os.FileMode
		uid  int
		gid  int
	}{{"", 0o755, 0, 0}, {"open", 0o777, 0, 0}, {"group", 0o770, 0, 64002}, {"read", 0o750, 64003, 64002}, {"shut", 0o700, 0, 0}, {"shut/open", 0o777, 0, 0}} {
		path := filepath.Join(dir, f.name)
		if f.name != "" {
			err = os.Mkdir(path, 0o700)
		}
		for _, err := range []error{err, os.Chown(path, f.uid, f.gid), os.Chmod(path, f.mode)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestPermissions(t *testing.T) {
	dir := tree(t)
	member := Account{Name: "keepcast", UID: 64001, Groups: []uint32{64001, 64002}}
	stranger := Account{Name: "keepcast", UID: 64001, Groups: []uint32{64001}}
	for name, tc := range map[string]struct {
		account Account
		snippet string
		want    []string
	}{
		"root":            {Account{Name: "root"}, "shut/open/k.conf", nil},
		"root, confined":  {Account{Name: "root", UID: 0, KnowsCaps: true, Caps: 1 << capNetAdmin}, "read/k.conf", []string{"error snippet-unwritable bird: usermod -aG 64002 root; chmod g+w DIR/read; restart keepcast"}},
		"open":            {stranger, "open/k.conf", nil},
		"member":          {member, "group/k.conf", nil},
		"stranger":        {stranger, "group/k.conf", []string{"error snippet-unwritable bird: usermod -aG 64002 keepcast; restart keepcast"}},
		"member may read": {member, "read/k.conf", []string{"error snippet-unwritable bird: \nchmod g+w DIR/read; restart keepcast"}},
		"way is shut":     {stranger, "shut/open/k.conf", []string{"error snippet-unwritable bird: \nchgrp 64001 DIR/shut; chmod g+x DIR/shut; restart keepcast"}},
		"no directory":    {stranger, "none/k.conf", []string{"error snippet-directory-missing bird: mkdir DIR/none"}},
		"overrides":       {Account{UID: 64001, KnowsCaps: true, Caps: 1<<capNetAdmin | 1<<capDACOverride}, "shut/k.conf", nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := load(t, "drivers: [{kind: bird, snippet: "+dir+"/"+tc.snippet+", socket: "+dir+"/none.ctl}]\n")
			cfg.RuntimeDir, cfg.StateDir = dir+"/open", dir+"/open"
			h := healthy()
			h.Account = tc.account
			for i := range tc.want {
				tc.want[i] = strings.ReplaceAll(tc.want[i], "DIR", dir)
			}
			expect(t, h.permissions(cfg), tc.want)
		})
	}
}

func TestSocketPermissions(t *testing.T) {
	dir := tree(t)
	l, err := net.Listen("unix", dir+"/bgpd.vty")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range []error{os.Chmod(dir+"/bgpd.vty", 0o660), os.Chown(dir+"/bgpd.vty", 0, 64002)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := load(t, "drivers: [{kind: frr, snippet: "+dir+"/open/k.conf, directory: "+dir+"}]\n")
	cfg.StateDir = dir + "/read"
	h := healthy()
	h.Account = Account{Name: "keepcast", UID: 64001, Groups: []uint32{64001}}
	expect(t, h.permissions(cfg), []string{
		"error socket-forbidden frr: usermod -aG 64002 keepcast; restart keepcast",
		"error directory-unwritable keepcast: chown keepcast /",
		"error directory-unwritable keepcast: user keepcast may not write into " + dir + "/read, where it keeps its state",
	})
}

func TestSecrets(t *testing.T) {
	dir := tree(t)
	for name, mode := range map[string]os.FileMode{"open/root": 0o600, "open/all": 0o644, "shut/all": 0o644, "group/member": 0o640, "open/mine": 0o400} {
		path := filepath.Join(dir, name)
		drivertest.WriteFile(t, path, "secret\n")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, owner := range map[string][2]int{"group/member": {0, 64002}, "open/mine": {64001, 64001}} {
		if err := os.Chown(filepath.Join(dir, path), owner[0], owner[1]); err != nil {
			t.Fatal(err)
		}
	}
	keepcast := Account{Name: "keepcast", UID: 64001, Groups: []uint32{64001}}
	member := Account{Name: "keepcast", UID: 64001, Groups: []uint32{64001, 64002}}
	for name, tc := range map[string]struct {
		account Account
		path    string
		want    []string
	}{
		"of root": {keepcast, "open/root", []string{"error secret-unreadable dns/mail: user keepcast may not read DIR/open/root: DIR/open/root is -rw------- of user root and group root\n" +
			"chgrp 64001 DIR/open/root; chmod g+r DIR/open/root; restart keepcast"}},
		"root's own":    {Account{Name: "root"}, "open/root", nil},
		"of everybody":  {keepcast, "open/all", []string{"warning secret-exposed dns/mail: everybody on this host may read DIR/open/all, in which a secret is\nchown root:64001 DIR/open/all; chmod 640 DIR/open/all"}},
		"behind a door": {keepcast, "shut/all", []string{"error secret-unreadable dns/mail: user keepcast may not read DIR/shut/all: DIR/shut is drwx------ of user root and group root\nchgrp 64001 DIR/shut; chmod g+x"}},
		"of a group":    {member, "group/member", nil},
		"of its own":    {keepcast, "open/mine", nil},
		"not there":     {keepcast, "open/none", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := dir + "/" + tc.path
			cfg := load(t, "services:\n- {name: dns, addresses: [192.0.2.53], checks: [{name: mail, kind: imap, address: '127.0.0.1:143', transport: tls, user: a, password_file: "+file+"},"+
				" {name: again, kind: redis, address: '127.0.0.1:6379', password_file: "+file+"}]}\n")
			h := healthy()
			h.Account = tc.account
			for i := range tc.want {
				tc.want[i] = strings.ReplaceAll(tc.want[i], "DIR", dir)
			}
			expect(t, h.secrets(cfg), tc.want)
		})
	}
}

// A password file on NFS whose server was gone held doctor up for ever.
func TestSecretsHang(t *testing.T) {
	hung, _ := drivertest.HangingDir(t)
	cfg := load(t, "services:\n- {name: dns, addresses: [192.0.2.53], checks: [{kind: redis, address: '127.0.0.1:6379', password_file: "+hung+"/a},"+
		" {name: b, kind: redis, address: '127.0.0.1:6379', password_file: "+hung+"/b}]}\n")
	expect(t, healthy().secrets(cfg), nil)
}
