package control

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// The runtime directory may be removed while keepcast runs: socket and lock are made in it
// again. Where it can't be made, that is told, and nothing stands in for it.
func TestAnew(t *testing.T) {
	dir := filepath.Join(drivertest.SocketDir(t), "run")
	must(t, os.Mkdir(dir, 0o755))
	listen := ListenAnew(filepath.Join(dir, "keepcast.sock"))
	lock, err := TakeLock(t.Context(), dir)
	must(t, err)
	defer func() { lock.Release() }()
	k := &keeper{lock: lock, log: slog.New(slog.DiscardHandler)}
	k.dir.Note(dir)

	must(t, os.RemoveAll(dir))
	l, err := listen(t.Context())
	must(t, err)
	must(t, l.Close())
	must(t, os.RemoveAll(dir))
	again, err := k.takeAnew(t.Context())
	must(t, err)
	again.Release()

	must(t, os.RemoveAll(dir))
	drivertest.WriteFile(t, dir, "")
	if l, err := listen(t.Context()); err == nil || l != nil {
		t.Errorf("listens on %v, %v", l, err)
	}
	if again, err := k.takeAnew(t.Context()); err == nil || again != nil {
		t.Errorf("locked is %v, %v", again, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Who listens for the web, too, may have more clients at once.
func TestConnections(t *testing.T) {
	for listen, want := range map[string]int{"": socketConnections, "127.0.0.1:9917": socketConnections + webConnections} {
		if got := Connections(listen); got != want {
			t.Errorf("%q: %d, want %d", listen, got, want)
		}
	}
}
