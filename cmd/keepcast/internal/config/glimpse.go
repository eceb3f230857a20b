package config

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/driver/trust"
)

// Glimpse returns what the files say of a setting of the top level that is a text, or yes
// or no, for when they are not valid. It is found only where they really say it: one who guesses
// instead may command another keepcast of this host. A file that can't be read may have
// said anything; a link that leads nowhere says nothing.
func Glimpse(mainFile, setting string) (value string, found bool) {
	more, _, err := dropIns(mainFile)
	if err != nil {
		return "", false
	}
	for _, path := range append([]string{mainFile}, more...) {
		text, err := trust.ReadAnyFile(path)
		if err != nil {
			return "", false
		}
		if v, said := glimpseOf(text, setting); said {
			value = v
		}
	}
	return value, value != ""
}

// glimpseOf returns what one file says of a setting: empty if that is something else.
func glimpseOf(text []byte, setting string) (value string, said bool) {
	var all map[string]any
	if yaml.Unmarshal(text, &all) != nil {
		// No YAML as a whole. A setting of the top level still stands at the beginning
		// of a line, as nothing else does.
		all = map[string]any{}
		line := regexp.MustCompile(`(?mi)^["']?` + regexp.QuoteMeta(setting) + `["']?[ \t]*:.*$`)
		for _, found := range line.FindAll(text, -1) {
			var one map[string]any
			if yaml.Unmarshal(found, &one) != nil {
				return "", true
			}
			maps.Copy(all, one)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if strings.EqualFold(key, setting) {
			switch v := all[key].(type) {
			case string:
				value = v
			case bool:
				value = strconv.FormatBool(v)
			default:
				value = ""
			}
			said = true
		}
	}
	return value, said
}
