package checks

import (
	"fmt"
	"strconv"
	"strings"
)

// Codes is a set of HTTP status codes. As text it is a list with commas of
// codes (204), ranges (200-299) and classes (2xx).
type Codes struct {
	ranges [][2]int
	text   string
}

// Has reports whether code is one of c.
func (c Codes) Has(code int) bool {
	for _, r := range c.ranges {
		if r[0] <= code && code <= r[1] {
			return true
		}
	}
	return false
}

// String returns c as it was written.
func (c Codes) String() string { return c.text }

// MarshalText returns c as it was written.
func (c Codes) MarshalText() ([]byte, error) { return []byte(c.text), nil }

// UnmarshalText reads a list like "2xx, 301, 400-404".
func (c *Codes) UnmarshalText(text []byte) error {
	var ranges [][2]int
	for word := range strings.SplitSeq(string(text), ",") {
		r, err := parseCodes(strings.TrimSpace(word))
		if err != nil {
			return err
		}
		ranges = append(ranges, r)
	}
	*c = Codes{ranges: ranges, text: string(text)}
	return nil
}

// parseCodes reads one code, range or class of RFC 9110 section 15.
func parseCodes(word string) ([2]int, error) {
	text := word
	if class, ok := strings.CutSuffix(strings.ToLower(word), "xx"); ok {
		text = class + "00-" + class + "99"
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	low, errLow := strconv.Atoi(strings.TrimSpace(from))
	high, errHigh := strconv.Atoi(strings.TrimSpace(to))
	if errLow != nil || errHigh != nil || low < 100 || high > 599 || low > high {
		return [2]int{}, fmt.Errorf("%q is no status code from 100 to 599, no range like 200-299 and no class like 2xx", word)
	}
	return [2]int{low, high}, nil
}
