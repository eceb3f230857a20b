package template

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// errUnloaded is why nobody knows what the daemon announces.
var errUnloaded = errors.New("the last reload failed, so it is not known what the daemon announces")

// Observe returns, of the routes last asked for, those that the observe command
// prints, or else those of the last reload if the file is still that one.
func (t *Driver) Observe(ctx context.Context) (driver.State, error) {
	if len(t.Verify) == 0 {
		if t.unloaded {
			return driver.State{}, errUnloaded
		}
		onDisk, err := os.ReadFile(t.Output)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return driver.State{}, fmt.Errorf("reading the file: %w", err)
		}
		if !t.holds(onDisk) {
			return driver.State{}, nil
		}
		return driver.State{Routes: slices.Clone(t.inForce.announced)}, nil
	}
	observed, err := t.observe(ctx)
	if err == nil && t.inForce != nil && difference(observed, driver.State{Routes: t.asked}) == "" {
		t.inForce.futile = "" // the reload helped, and will the next time
	}
	return observed, err
}

// observe asks the daemon by the command.
func (t *Driver) observe(ctx context.Context) (driver.State, error) {
	out, err := command(ctx, t.Timeout, t.Verify)
	if err != nil {
		return driver.State{}, fmt.Errorf("observe: %w", err)
	}
	if len(out) == maxOutput {
		return driver.State{}, fmt.Errorf("observe: %s: more than %d bytes", strings.Join(t.Verify, " "), maxOutput)
	}
	observed, err := parsePrefixes(out)
	if err != nil {
		return driver.State{}, fmt.Errorf("observe: %s: %w", strings.Join(t.Verify, " "), err)
	}
	s := driver.State{}
	for _, r := range t.asked {
		if observed[r.Prefix.Masked()] {
			r.Presence = driver.Announced
			s.Routes = append(s.Routes, r)
		}
	}
	return s, nil
}

// differs is difference of what the daemon announces now; "" also if it can't be asked.
func (t *Driver) differs(ctx context.Context, desired driver.State) string {
	if len(t.Verify) == 0 {
		return ""
	}
	observed, err := t.observe(ctx)
	if err != nil {
		return "" // Observe tells
	}
	return difference(observed, desired)
}

// parsePrefixes reads one prefix or address from each line. Empty lines and
// those that begin with # do not count, nor does what follows the prefix.
func parsePrefixes(out string) (map[netip.Prefix]bool, error) {
	observed := map[netip.Prefix]bool{}
	n := 0
	for line := range strings.Lines(out) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		p, err := netip.ParsePrefix(words[0])
		if err != nil {
			addr, errAddr := netip.ParseAddr(words[0])
			if errAddr != nil || addr.Zone() != "" {
				return nil, fmt.Errorf("line %d: %q is neither a prefix nor an address", n, words[0])
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		observed[p.Masked()] = true
	}
	return observed, nil
}

// difference says which announced prefixes of desired the daemon lacks, and which others of it
// that has; "" if it is right.
func difference(observed, desired driver.State) string {
	has := observed.Managed()
	var out []string
	announced := driver.State{Routes: desired.Announced()}.Managed()
	for _, p := range slices.SortedFunc(maps.Keys(desired.Managed()), netip.Prefix.Compare) {
		switch {
		case announced[p] && !has[p]:
			out = append(out, "lacks "+p.String())
		case !announced[p] && has[p]:
			out = append(out, "has "+p.String())
		}
	}
	return strings.Join(out, ", ")
}
