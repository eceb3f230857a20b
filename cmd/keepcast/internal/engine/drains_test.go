package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

func TestDrainDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dns"), []byte("CHG-2\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readDrainDir(dir)
	if err != nil || len(got) != 1 || got["dns"].Reason != "CHG-2" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := readDrainDir(filepath.Join(dir, "missing")); err != nil || len(got) != 0 {
		t.Errorf("a missing directory orders nothing: %v, %v", got, err)
	}
}

// TestDrainDirectoryIsWatched adds and removes a file, and the directory itself.
func TestDrainDirectoryIsWatched(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dns")
	ctx, stop := context.WithCancel(context.Background())
	told, ended := make(chan map[string]api.Drain), make(chan struct{})
	go func() {
		defer close(ended)
		watchDrainDir(ctx, dir, func(files map[string]api.Drain, err error) {
			if err != nil {
				t.Error(err)
			}
			select {
			case told <- files:
			case <-ctx.Done():
			}
		})
	}()
	await := func(drained bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			select {
			case files := <-told:
				if _, is := files["dns"]; is == drained {
					return
				}
			case <-deadline:
				t.Fatalf("not told that drained is %v", drained)
			}
		}
	}
	await(false)
	for _, step := range []func() error{
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.RemoveAll(dir) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(path)
		await(err == nil)
	}
	stop()
	<-ended
}
