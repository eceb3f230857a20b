package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// meant returns a hint at the setting that was most likely meant by a name that none has.
func meant(key string, names []string) string {
	// Of two words that others have for one thing, each kind has one.
	synonyms := map[string][]string{"address": {"server", "url"}, "server": {"address", "url"}, "host": {"address", "server", "url"}}
	for _, name := range names {
		if strings.HasSuffix(name, key+"_file") {
			return fmt.Sprintf(" (did you mean %q? A secret stands in a file of its own)", name)
		}
		if slices.Contains(synonyms[key], name) {
			return fmt.Sprintf(" (did you mean %q?)", name)
		}
	}
	return suggest(key, names)
}

// Hint returns what an error says behind a name that none of names is: the one that was most
// likely meant, or else a few of them. They are what the word says, such as "configured".
func Hint(got, are string, names []string) string {
	if hint := suggest(got, names); hint != "" {
		return hint
	}
	return fmt.Sprintf(" (%s: %s)", are, Few(names))
}

// Few lists the first few of names, and says how many more there are: a host may have a
// thousand services.
func Few(names []string) string {
	const few = 5
	if more := len(names) - few; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), more)
	}
	return strings.Join(names, ", ")
}

// suggest returns a hint at the name that was most likely meant, or nothing.
func suggest(got string, names []string) string {
	best, distance := "", 3 // more than two slips are another word
	for _, name := range names {
		if len(got) > len(name)+2 {
			continue // each slip adds one letter at most, and what somebody sends may be long
		}
		if d := slips(got, name); d < distance && d < len(name) {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// slips counts the letters to be changed, added, left out or swapped with the next one to get
// from a to b (the distance of Damerau and Levenshtein, as optimal string alignment).
func slips(a, b string) int {
	d := make([][]int, len(a)+1) // by how much of a and of b is done
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			changed := d[i][j]
			if a[i] != b[j] {
				changed++
			}
			d[i+1][j+1] = min(changed, d[i][j+1]+1, d[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d[i+1][j+1] = min(d[i+1][j+1], d[i-1][j-1]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
