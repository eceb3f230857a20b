package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/keepcast/keepcast/driver/trust"
)

// LastGoodFile is where the configuration that was in force last is kept as one file, for a
// start with files that are not valid.
func LastGoodFile(stateDir string) string { return filepath.Join(stateDir, "last-good.yaml") }

// errExit is what is said where on_bad_configuration is exit.
var errExit = errors.New("on_bad_configuration is exit")

// LastGood returns the configuration that was in force last. It is judged anew: what this
// keepcast would refuse of the operator, it refuses of a former one. The error says why
// there is none to go on with.
func LastGood(stateDir string) (*Config, error) {
	cfg, err := LoadSaved(LastGoodFile(stateDir))
	if err != nil {
		return nil, fmt.Errorf("the last good configuration: %w", err)
	}
	if cfg.OnBadConfig == "exit" {
		return nil, errExit
	}
	return cfg, nil
}

// Distrusted says why what keepcast saves in a directory is not believed: others may write
// there, or a configuration in it. Nil: it is, or can't be looked at.
func Distrusted(dir string) error {
	err := trust.Directory(dir)
	var files []string
	if err == nil { // it answers
		files, _ = filepath.Glob(filepath.Join(dir, "*.yaml")) // no directory has none
	}
	for i := 0; err == nil && i < len(files); i++ {
		_, err = trust.ReadFile(files[i])
	}
	if why, ok := errors.AsType[trust.Violations](err); ok {
		return why
	}
	return nil
}
