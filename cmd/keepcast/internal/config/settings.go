package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Setting is one setting as its struct field declares it. Decoding, defaults,
// validation, the reference page, the JSON Schema and completion all read it.
//
// The tags are `config:"name"`, `default`, `required:"true"`, `min`, `max` (both
// in the field's own syntax), `enum:"a|b"`, `change` (see Change) and `doc`
// (Markdown). A field without a config tag is no setting; an embedded struct lends
// its settings. The default of a group is YAML, and each of its entries holds by
// itself.
type Setting struct {
	Name     string
	Type     string // for people: "duration", "list of text", ...
	Default  string
	Required bool
	Min, Max string
	Enum     []string
	Change   Change
	Doc      string
	Settings []Setting // of a nested struct
	typ      reflect.Type
	index    []int
}

// Settings returns the settings that v, a struct or a pointer to one, declares.
func Settings(v any) []Setting {
	return settingsOf(reflect.Indirect(reflect.ValueOf(v)).Type())
}

func settingsOf(t reflect.Type) []Setting {
	var out []Setting
	for i := range t.NumField() {
		f := t.Field(i)
		name, declared := f.Tag.Lookup("config")
		if !declared {
			if f.Anonymous && f.Type.Kind() == reflect.Struct {
				for _, s := range settingsOf(f.Type) {
					s.index = append([]int{i}, s.index...)
					out = append(out, s)
				}
			}
			continue
		}
		s := Setting{
			Name: name, Type: typeName(f.Type), Default: f.Tag.Get("default"),
			Required: f.Tag.Get("required") == "true",
			Min:      f.Tag.Get("min"), Max: f.Tag.Get("max"), Doc: f.Tag.Get("doc"),
			Change: changeOf(name, f.Tag.Get("change")),
			typ:    f.Type, index: []int{i},
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			s.Enum = strings.Split(enum, "|")
		}
		if isGroup(f.Type) {
			s.Settings = settingsOf(f.Type)
		}
		out = append(out, s)
	}
	return out
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isText reports whether t is written as one text in YAML, such as an address.
func isText(t reflect.Type) bool {
	return t.Implements(textType) || reflect.PointerTo(t).Implements(textType)
}

// isGroup reports whether t is a nested struct with settings of its own.
func isGroup(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isText(t)
}

// Syntaxer is a type that names its own syntax in the reference, such as "prefix".
type Syntaxer interface{ Syntax() string }

// typeName says for people what is to be written in YAML for a t.
func typeName(t reflect.Type) string {
	if s, ok := reflect.TypeAssert[Syntaxer](reflect.New(t)); ok {
		return s.Syntax()
	}
	switch {
	case t == durationType:
		return "duration"
	case t.String() == "*regexp.Regexp":
		return "regular expression"
	case t.String() == "netip.Addr":
		return "address"
	case t.String() == "netip.AddrPort":
		return "address and port"
	case t.String() == "netip.Prefix":
		return "prefix/length"
	case isText(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer: // one that can be left out
		return typeName(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint32:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map of text"
	case reflect.Struct:
		return "group of settings"
	}
	panic(fmt.Sprintf("config: no setting can have the type %s", t))
}

// find returns the setting of that name.
func find(settings []Setting, name string) (Setting, bool) {
	for _, s := range settings {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}
