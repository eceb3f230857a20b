package doctor

import (
	"fmt"
	"os"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/snippet"
)

// secrets says which files with secrets keepcast may not read, and which everybody may, each
// once. One that is missing, or on a file system that hangs, is said by unusable.
func (h Facts) secrets(cfg *config.Config) (out []driver.Finding) {
	looked := map[string]bool{}
	for _, s := range cfg.Services {
		for _, check := range s.Checks {
			for _, path := range check.SecretFiles() {
				if looked[path] {
					continue
				}
				looked[path] = true
				found, err := pace.Answer(pace.Patience, func() ([]driver.Finding, error) { return h.secret(s.Name+"/"+check.Name, path), nil })
				if err != nil {
					return out // there may be hundreds of them on the same file system
				}
				out = append(out, found...)
			}
		}
	}
	return out
}

// secret looks at one file with a secret.
func (h Facts) secret(subject, path string) (out []driver.Finding) {
	if d := h.Account.may(path, snippet.MayRead); d != nil {
		out = append(out, driver.Finding{
			Name: "secret-unreadable", Level: driver.LevelError, Subject: subject,
			Text: fmt.Sprintf("user %s may not read %s: %s", h.Account.Name, path, d), Fix: d.fix(),
		})
	}
	if everybodyReads(path) {
		out = append(out, driver.Finding{
			Name: "secret-exposed", Level: driver.LevelWarning, Subject: subject,
			Text: fmt.Sprintf("everybody on this host may read %s, in which a secret is", path),
			Fix:  fmt.Sprintf("chown root:%s %s; chmod 640 %s", h.Account.group(), path, path),
		})
	}
	return out
}

// everybodyReads reports whether users without any rights of their own may read a file.
func everybodyReads(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&snippet.MayRead != 0 && Account{UID: nobody}.may(path, snippet.MayRead) == nil
}
