package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/snippet"
)

// disk is all that the engine keeps in files. Each has a goroutine that writes it, so the
// loop never waits for one.
type disk struct {
	savedState  *store.Document[saved]
	savedDrains *store.Document[[]order]
	state       *store.Saver[saved]
	drains      *store.Saver[[]order]
	inForce     *store.Saver[*config.Config] // for withdraw-all
	lastGood    *store.Saver[*config.Config] // for a start with files that are not valid
}

// newDisk returns the files of cfg, whose directories take a restart to change.
func (e *Engine) newDisk(cfg *config.Config) disk {
	d := disk{savedState: stateDocument(cfg.RuntimeDir), savedDrains: drainsDocument(cfg.StateDir)}
	d.state = store.NewSaver(d.savedState.Save, e.saving("state", "a restart will look at the host alone"))
	d.drains = store.NewSaver(d.savedDrains.Save, e.saving("drains", "a restart will not know the newest"))
	d.inForce = store.NewSaver(writeConfig(InForceFile(cfg.RuntimeDir)),
		e.saving("configuration in force", "keepcast withdraw-all has to go by the files of the operator"))
	d.lastGood = store.NewSaver(writeConfig(config.LastGoodFile(cfg.StateDir)),
		e.saving("last good configuration", "a start with files that are not valid could not go on with it"))
	d.state.Path, d.drains.Path = d.savedState.Path, d.savedDrains.Path
	d.inForce.Path, d.lastGood.Path = InForceFile(cfg.RuntimeDir), config.LastGoodFile(cfg.StateDir)
	return d
}

// writeConfig returns what writes a configuration to a file.
func writeConfig(path string) func(*config.Config) error {
	return func(c *config.Config) error {
		text, err := c.Text()
		if err == nil {
			err = snippet.Replace(path, text)
		}
		return err
	}
}

// keep has a configuration that is in force written.
func (d disk) keep(c *config.Config) {
	d.inForce.Put(c)
	d.lastGood.Put(c)
}

// run writes until ctx is done, and then what is left.
func (d disk) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, run := range []func(context.Context){d.state.Run, d.drains.Run, d.inForce.Run, d.lastGood.Run} {
		running.Go(func() { run(ctx) })
	}
	running.Wait()
}

// saving returns what is told of the saving of something: it is logged, and shown as a
// finding as long as it fails.
func (e *Engine) saving(what, consequence string) func(error) {
	return func(err error) {
		if err != nil {
			e.log.Error(what+" not saved: "+consequence, "err", err)
		} else {
			e.log.Info(what + " saved again")
		}
		e.post(func() {
			defer e.publish()
			defer e.find()
			delete(e.unsaved, what)
			if err != nil {
				e.unsaved[what] = driver.Finding{
					Name: "not-saved", Level: driver.LevelError, Subject: what,
					Text: fmt.Sprintf("not saved, so that %s: %v", consequence, err), Fix: "see to the disk; it is tried again by itself",
				}
			}
		})
	}
}

// stateDocument is where it is kept. Before there were checksums it was an object with
// the services.
func stateDocument(runtimeDir string) *store.Document[saved] {
	return &store.Document[saved]{
		Path: filepath.Join(runtimeDir, "state.json"), Version: 1,
		Plain: func(text []byte) bool {
			var keys map[string]json.RawMessage
			_ = json.Unmarshal(text, &keys) // what is no object has no keys
			_, services := keys["services"]
			_, sealed := keys["sha256"]
			return services && !sealed
		},
	}
}

// drainsDocument is where the commanded drains are kept. Before there were checksums it
// was a list.
func drainsDocument(stateDir string) *store.Document[[]order] {
	return &store.Document[[]order]{
		Path: filepath.Join(stateDir, "drains.json"), Version: 1,
		Plain: func(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) },
	}
}

// InForceFile is where the configuration in force is kept as one file, for when
// the one of the operator is broken and all has to be withdrawn.
func InForceFile(runtimeDir string) string { return filepath.Join(runtimeDir, "config.yaml") }
