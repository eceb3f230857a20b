package checks

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A file without an end, one that nobody writes and one that is far too large are no file of a
// setting. The first one took all memory, and with it keepcast.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	drivertest.WriteFile(t, at("most"), strings.Repeat("x", mostFile))
	drivertest.WriteFile(t, at("more"), strings.Repeat("x", mostFile+1))
	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", at("zero")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"most": "",
		"more": "DIR/more has more than 1 MiB",
		"fifo": "DIR/fifo is a FIFO, which has no content to look at",
		"zero": "DIR/zero is a device, which has no content to look at",
		"none": "open DIR/none: no such file or directory",
		".":    "DIR is a directory, which has no content to look at",
	} {
		_, err := readFile(at(name))
		sameError(t, err, strings.ReplaceAll(want, "DIR", dir), "")
	}
	_, err := secretIn("password_file", at("zero"))
	sameError(t, err, "password_file: "+at("zero")+" is a device, which has no content to look at", "")
	_, err = (&TLS{CA: at("more")}).configFor("127.0.0.1:443")
	sameError(t, err, "tls.ca: "+at("more")+" has more than 1 MiB", "")
	_, err = (&TLS{Cert: at("fifo"), Key: at("most")}).configFor("127.0.0.1:443")
	sameError(t, err, "tls.cert: "+at("fifo")+" is a FIFO, which has no content to look at", "")
}
