package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Whoever writes what a command prints into a file learns that it is not whole.
func TestOutputFails(t *testing.T) {
	dir := drivertest.SocketDir(t)
	file := filepath.Join(dir, "keepcast.yaml")
	drivertest.WriteFile(t, filepath.Join(dir, "t"), "{{.Interface}}\n")
	drivertest.WriteFile(t, file, strings.ReplaceAll(gated, "DIR", dir))
	drivertest.WriteFile(t, filepath.Join(dir, "bird"), "")
	socket := answers(t, &fakeEngine{
		status:  api.Status{Services: []api.ServiceStatus{{Name: "dns"}}},
		checked: []api.CheckedNow{{Service: "dns"}},
	})
	for _, line := range []string{
		"version",
		"validate -c " + file,
		"schema",
		"anycast-id 2001:db8::/64",
		"render file -c " + file,
		"doctor -c " + file,
		"doctor -o json -c " + file,
		"status --socket " + socket,
		"status -o json --socket " + socket,
		"status -o yaml --socket " + socket,
		"status -w --socket " + socket,
		"drain dns --socket " + socket,
		"resume dns --socket " + socket,
		"check-now dns --socket " + socket,
		"probe -c " + file,
		"probe dns -c " + file,
		"probe -o json -c " + file,
		"reload --socket " + socket,
		"init --daemon bird --root " + dir,
		"init --daemon bird --root " + dir + " --write " + dir + "/new",
	} {
		t.Run(line, func(t *testing.T) {
			var errs strings.Builder
			code := keepcast(context.Background(), strings.Fields(line), full{}, &errs)
			if got := errs.String(); code != exitFailed || !strings.HasSuffix(got, "no space left on device\n") {
				t.Errorf("exit code %d, %s", code, got)
			}
		})
	}
}
