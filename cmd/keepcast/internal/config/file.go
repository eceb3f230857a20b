package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/trust"
)

// file is one configuration file as it was read, before any meaning.
type file struct {
	path string
	raw  map[string]any // keys in lower case
}

// read reads one file and notes where everything stands. What is wrong with its
// syntax ends up in the faults, and the file counts as empty then.
func (l *loader) read(path string) (file, error) {
	text, err := l.text(path)
	if err != nil {
		return file{}, fmt.Errorf("configuration: %w", advised(path, err))
	}
	f := file{path: path}
	root, err := document(text)
	if err != nil {
		l.syntaxFaults(path, err)
		return f, nil
	}
	if root.Kind == 0 { // nothing but comments
		return f, nil
	}
	if top := root.Content[0]; top.Kind != yaml.MappingNode {
		l.add(Fault{At: Position{path, top.Line, top.Column}, Text: "settings (name: value) expected at the top level"})
		return f, nil
	}
	// Key names may contain dots, which viper would take for its delimiter.
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		l.syntaxFaults(path, err)
		return f, nil
	}
	// Only now: an alias that contains itself is an error of the parser above.
	l.walk(path, "", root.Content[0])
	f.raw = v.AllSettings()
	return f, nil
}

// advised says what to do about a file that is not there.
func advised(path string, err error) error {
	const other = ", or name another with --config"
	if errors.Is(err, pace.ErrHangs) { // so would a look at it
		return fmt.Errorf("%s: %w", path, err)
	}
	if to, dead := deadLink(path); dead {
		return fmt.Errorf("%w: it "+deadLinkText+other, err, to)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: write one (docs/tutorial.md shows how)"+other, err)
	}
	return err
}

// text returns the text of a file. That it is not trusted becomes faults.
func (l *loader) text(path string) ([]byte, error) {
	if l.offline {
		return trust.ReadAnyFile(path)
	}
	text, err := trust.ReadFile(path)
	if l.distrust("", err) {
		err = nil
	}
	return text, err
}

// distrust makes faults of violations, each once though it holds for many files.
func (l *loader) distrust(setting string, err error) bool {
	found, ok := errors.AsType[trust.Violations](err)
	for _, v := range found {
		fault := Fault{At: Position{File: v.Path}, Text: v.Text}
		if setting != "" {
			at := l.where.position(setting)
			fault = Fault{at, setting, v.Error()}
		}
		if !slices.Contains(l.faults, fault) {
			l.add(fault)
		}
	}
	return ok
}

// document returns the one document of a file. An error names the line of a second one,
// as the parser does.
func document(text []byte) (yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, more yaml.Node
	err := d.Decode(&first)
	for err == nil {
		err = d.Decode(&more)
		if err == nil && more.Content[0].Tag != "!!null" {
			return first, fmt.Errorf("line %d: a second document begins here (after ---), which is not read: have it in a file of its own, conf.d/NAME.yaml", more.Content[0].Line)
		}
	}
	if errors.Is(err, io.EOF) {
		return first, nil
	}
	return first, err
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntaxFaults turns an error of the YAML parser into faults with positions.
func (l *loader) syntaxFaults(path string, err error) {
	l.partial = true
	found := yamlLine.FindAllStringSubmatch(err.Error(), -1)
	for _, m := range found {
		line, _ := strconv.Atoi(m[1]) // digits by the expression
		l.add(Fault{At: Position{path, line, 1}, Text: m[2]})
	}
	if len(found) == 0 {
		text := strings.TrimPrefix(err.Error(), "While parsing config: ") // viper's
		l.add(Fault{At: Position{File: path}, Text: text})
	}
}

// walk notes the position of every key and list entry below node.
func (l *loader) walk(path, at string, node *yaml.Node) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if key.Value == "<<" {
				l.walk(path, at, value)
				continue
			}
			name := strings.ToLower(key.Value)
			if line, twice := seen[name]; twice {
				l.add(Fault{
					Position{path, key.Line, key.Column},
					join(at, key.Value),
					fmt.Sprintf("written twice (first in line %d)", line),
				})
			}
			seen[name] = key.Line
			l.where[strings.ToLower(join(at, name))] = Position{path, key.Line, key.Column}
			l.walk(path, join(at, name), value)
		}
	case yaml.SequenceNode:
		seen := map[string]int{}
		for i, entry := range node.Content {
			id := entryID(plain(entry), i)
			here := at + "[" + id + "]"
			if line, twice := seen[here]; twice {
				l.add(Fault{
					Position{path, entry.Line, entry.Column},
					here,
					fmt.Sprintf("the name %q is taken (line %d): names must differ within a list", id, line),
				})
			}
			seen[here] = entry.Line
			l.where[strings.ToLower(here)] = Position{path, entry.Line, entry.Column}
			l.walk(path, here, entry)
		}
	}
}

// plain returns node's value; what is wrong with it is found when it is decoded.
func plain(node *yaml.Node) any {
	var v any
	if node.Decode(&v) != nil {
		return nil
	}
	return v
}

// entryID names the entry number i of a list: by its name, else by what it uses or its kind,
// else by its number. A drop-in overrides the entry of the same name.
func entryID(entry any, i int) string {
	if m, ok := entry.(map[string]any); ok {
		for _, key := range []string{"name", "use", "kind"} {
			if s, ok := m[key].(string); ok && s != "" {
				return s
			}
		}
	}
	return strconv.Itoa(i)
}

// isEntries reports whether v is a list of named things.
func isEntries(v any) ([]any, bool) {
	list, ok := v.([]any)
	return list, ok && len(list) > 0 && !slices.ContainsFunc(list, func(e any) bool {
		_, isMap := e.(map[string]any)
		return !isMap
	})
}

// merge lays src over dst: maps key by key, lists of named things entry by
// entry, everything else as a whole.
func merge(dst, src map[string]any) map[string]any {
	out := make(map[string]any, len(dst)+len(src))
	maps.Copy(out, dst)
	for k, v := range src {
		out[k] = mergeValue(out[k], v)
	}
	return out
}

func mergeValue(old, v any) any {
	if m, ok := v.(map[string]any); ok {
		if o, ok := old.(map[string]any); ok {
			return merge(o, m)
		}
	}
	list, ok := isEntries(v)
	olds, was := isEntries(old)
	if !ok || !was {
		return v
	}
	out := slices.Clone(olds)
	for i, entry := range list {
		id := entryID(entry, len(olds)+i)
		at := slices.IndexFunc(out, func(o any) bool { return entryID(o, -1) == id })
		if at < 0 {
			out = append(out, entry)
		} else {
			out[at] = mergeValue(out[at], entry)
		}
	}
	return out
}
