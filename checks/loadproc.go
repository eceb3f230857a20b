package checks

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

// LoadAmount is a share or a size. As text it is as in 10% or 512MiB.
type LoadAmount struct {
	percent float64 // 0: it is a size
	bytes   float64
	text    string
}

// loadUnits are the units of a size, as IEC 80000-13 has them.
func loadUnits() map[string]float64 {
	return map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
}

// UnmarshalText reads a share or a size.
func (a *LoadAmount) UnmarshalText(text []byte) error {
	read := LoadAmount{text: string(text)}
	digits := strings.TrimRight(read.text, "%KMGTiB")
	number, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	unit := read.text[len(digits):]
	size := loadUnits()[unit]
	switch {
	case err != nil, math.IsNaN(number), math.IsInf(number, 0), number < 0, unit != "%" && size == 0, unit == "%" && number > 100:
		return fmt.Errorf("%q is neither a share, as in 10%%, nor a size, as in 512MiB", text)
	case unit == "%":
		read.percent = number
	default:
		read.bytes = number * size
	}
	*a = read
	return nil
}

// MarshalText returns a as it was written.
func (a LoadAmount) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// String returns a as it was written.
func (a LoadAmount) String() string { return a.text }

func (a LoadAmount) isSet() bool { return a.percent > 0 || a.bytes > 0 }

// lackedBy reports whether less than a is left.
func (a LoadAmount) lackedBy(l loadLeft) bool {
	if a.percent > 0 {
		return l.percent() < a.percent
	}
	return float64(l.have) < a.bytes
}

// loadLeft is what is left of something, in bytes unless it is said otherwise.
type loadLeft struct{ have, of uint64 }

func (l loadLeft) percent() float64 { return 100 * float64(l.have) / float64(max(l.of, 1)) }

// String writes it for people.
func (l loadLeft) String() string {
	return fmt.Sprintf("%s of %s (%.1f%%)", loadSize(l.have), loadSize(l.of), l.percent())
}

// loadSize writes a size with a unit.
func loadSize(bytes uint64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB"} {
		if size := loadUnits()[unit]; float64(bytes) >= size {
			return fmt.Sprintf("%.1f %s", float64(bytes)/size, unit)
		}
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// loadSpace returns what is left of a file system as df counts it: what is kept for root is
// no part of it.
func loadSpace(stat unix.Statfs_t) (space, inodes loadLeft) {
	size := uint64(max(0, cmp.Or(stat.Frsize, stat.Bsize)))
	used := stat.Blocks - min(stat.Bfree, stat.Blocks)
	return loadLeft{stat.Bavail * size, (stat.Bavail + used) * size}, loadLeft{stat.Ffree, stat.Files}
}

// maxLoadFile is how much of a file of /proc is read. What follows in stat are interrupts.
const maxLoadFile = 256 << 10

// readLoad reads a file of /proc; proc is a directory in its place unless "". An error is
// void: it says nothing of how loaded the host is.
func readLoad[T any](proc, name string, parse func(string) (T, error)) (found T, err error) {
	path := filepath.Join(cmp.Or(proc, "/proc"), name)
	file, err := os.Open(path)
	var text []byte
	if err == nil {
		defer file.Close()
		text, err = io.ReadAll(io.LimitReader(file, maxLoadFile))
	}
	switch pressure := strings.HasPrefix(name, "pressure/"); {
	case pressure && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP)):
		return found, health.Void(fmt.Errorf("%w: this kernel does not measure pressure, it needs CONFIG_PSI and, by default on some systems, psi=1 on its command line", err))
	case err != nil:
		return found, health.Void(err)
	}
	if found, err = parse(string(text)); err != nil {
		return found, health.Void(fmt.Errorf("%s: %w: %s", path, err, excerpt(text)))
	}
	return found, nil
}

// parseLoad reads the load average of the last minute from /proc/loadavg.
func parseLoad(text string) (float64, error) {
	word, _, _ := strings.Cut(text, " ")
	return loadNumber(word)
}

// loadNumber reads a number that is no less than 0.
func loadNumber(word string) (float64, error) {
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("%q is no number", word)
	}
	return n, nil
}

// loadTimes is for how long the processors were busy and idle since the host started, in
// ticks.
type loadTimes struct {
	busy, idle uint64
	processors int
}

func (t loadTimes) total() uint64 { return t.busy + t.idle }

// busySince returns the share of the time since before in percent. Waiting for a disk (iowait)
// may go backwards.
func (t loadTimes) busySince(before loadTimes) float64 {
	busy := float64(t.busy - min(before.busy, t.busy))
	return min(100, 100*busy/float64(t.total()-before.total()))
}

// parseLoadTimes reads /proc/stat (proc_stat(5)). Guests are counted as user time already.
func parseLoadTimes(text string) (loadTimes, error) {
	var t loadTimes
	found := false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 5 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		if words[0] != "cpu" {
			t.processors++
			continue
		}
		for i, word := range words[1:min(len(words), 9)] {
			n, err := strconv.ParseUint(word, 10, 60) // the sum fits, too
			if err != nil {
				return t, fmt.Errorf("%q is no number of ticks", word)
			}
			if i == 3 || i == 4 { // idle and iowait
				t.idle += n
			} else {
				t.busy += n
			}
		}
		found = true
	}
	if !found || t.processors == 0 {
		return t, errors.New("no times of processors")
	}
	return t, nil
}

// parseLoadMemory reads /proc/meminfo, which says kB and means KiB.
func parseLoadMemory(text string) (loadLeft, error) {
	found := map[string]uint64{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 || words[2] != "kB" {
			continue
		}
		if n, err := strconv.ParseUint(words[1], 10, 53); err == nil {
			found[words[0]] = n << 10
		}
	}
	available, ok := found["MemAvailable:"]
	total := found["MemTotal:"]
	if !ok || total == 0 {
		return loadLeft{}, errors.New("no MemAvailable or no MemTotal")
	}
	return loadLeft{available, total}, nil
}

// parsePressure reads the share of the last ten seconds for which some waited, in percent,
// from a file of /proc/pressure.
func parsePressure(text string) (float64, error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "some" {
			continue
		}
		if share, ok := strings.CutPrefix(words[1], "avg10="); ok {
			return loadNumber(share)
		}
	}
	return 0, errors.New("no avg10 of some")
}
