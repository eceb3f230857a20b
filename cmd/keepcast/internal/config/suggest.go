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

// suggest returns a hint at the name that was most likely meant, or nothing.
func suggest(got string, names []string) string {
	best, distance := "", 3 // more than two slips are another word
	for _, name := range names {
		if d := slips(got, name); d < distance && d < len(name) {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// slips counts the letters to be changed, added or left out to get from a to b
// (the Levenshtein distance).
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
