package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"
)

// decode fills targets, pointers to structs, with what raw holds. Together they
// declare every key that raw may have. All that is wrong becomes faults.
func (l *loader) decode(path string, raw map[string]any, targets ...any) {
	known := map[string]bool{}
	var names []string
	for _, target := range targets {
		for _, s := range Settings(target) {
			known[s.Name] = true
			names = append(names, s.Name)
			field := reflect.Indirect(reflect.ValueOf(target)).FieldByIndex(s.index)
			l.set(join(path, s.Name), s, raw[s.Name], field)
		}
	}
	for _, key := range sortedKeys(raw) {
		if !known[key] {
			l.fault(join(path, key), "no such setting%s", meant(key, names))
		}
	}
}

// set gives one field its value, or its default where value is nil.
func (l *loader) set(path string, s Setting, value any, field reflect.Value) {
	if s.Settings != nil {
		group, ok := value.(map[string]any)
		if value != nil && !ok {
			l.fault(path, "a group of settings expected, got %s", show(value))
			return
		}
		l.decode(path, merge(s.groupDefault(), group), field.Addr().Interface())
		return
	}
	if value == nil {
		if s.Required {
			l.lacks(path, "required, but missing")
		} else if s.Default != "" {
			l.setDefault(s, field)
		}
		return
	}
	before := len(l.faults)
	l.setValue(path, s.word(value), field)
	if len(l.faults) == before {
		l.bounds(path, s, field)
	}
}

// word returns a number as the word of the enum that means it: what is written as 1.0, for
// min_version, is the number 1 to YAML.
func (s Setting) word(value any) any {
	n, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if _, quoted := value.(string); quoted || err != nil {
		return value
	}
	for _, word := range s.Enum {
		if w, err := strconv.ParseFloat(word, 64); err == nil && w == n {
			return word
		}
	}
	return value
}

// setDefault reads a default from its tag. A default that can't be read is a
// mistake in this program, which the test of every declaration finds.
func (l *loader) setDefault(s Setting, field reflect.Value) {
	if err := parse(s.Default, field); err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", s.Name, err))
	}
}

// groupDefault returns what a group holds where it says nothing else.
func (s Setting) groupDefault() map[string]any {
	var group map[string]any
	if err := yaml.Unmarshal([]byte(s.Default), &group); err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", s.Name, err))
	}
	return group
}

// parse reads a value in the syntax of the tags: a text.
func parse(text string, field reflect.Value) error {
	if field.Kind() == reflect.Slice {
		parts := strings.Split(text, ",")
		field.Set(reflect.MakeSlice(field.Type(), len(parts), len(parts)))
		for i, part := range parts {
			if err := parse(part, field.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	hooks := mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.TextUnmarshallerHookFunc())
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: field.Addr().Interface(), WeaklyTypedInput: true, DecodeHook: hooks})
	if err != nil {
		return err
	}
	return d.Decode(text)
}

// setValue decodes value strictly; lists and maps entry by entry, so that every
// wrong entry is named.
func (l *loader) setValue(path string, value any, field reflect.Value) {
	t := field.Type()
	switch {
	case t.Kind() == reflect.Slice && !isText(t):
		list, ok := value.([]any)
		if !ok {
			l.mismatch(path, value, t)
			return
		}
		out := reflect.MakeSlice(t, len(list), len(list))
		for i, entry := range list {
			l.setValue(fmt.Sprintf("%s[%d]", path, i), entry, out.Index(i))
		}
		field.Set(out)
	case t.Kind() == reflect.Map:
		m, ok := value.(map[string]any)
		if !ok {
			l.mismatch(path, value, t)
			return
		}
		out := reflect.MakeMap(t)
		for _, key := range sortedKeys(m) {
			entry := reflect.New(t.Elem()).Elem()
			l.setValue(join(path, key), m[key], entry)
			out.SetMapIndex(reflect.ValueOf(key), entry)
		}
		field.Set(out)
	default:
		l.setScalar(path, value, field)
	}
}

func (l *loader) setScalar(path string, value any, field reflect.Value) {
	if value == nil { // mapstructure would leave the field as it is
		l.mismatch(path, value, field.Type())
		return
	}
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: field.Addr().Interface(), DecodeHook: strict})
	if err != nil {
		l.fault(path, "%v", err)
		return
	}
	if err := d.Decode(value); err != nil {
		if own, ok := errors.AsType[*valueError](err); ok {
			l.fault(path, "%v", own.err)
			return
		}
		l.mismatch(path, value, field.Type())
	}
}

// mismatch says that a value is of another type than its setting.
func (l *loader) mismatch(path string, value any, t reflect.Type) {
	hint := ""
	switch value.(type) {
	case int, float64, bool:
		if t.Kind() == reflect.String {
			hint = ": write it in quotes"
		}
	}
	l.fault(path, "%s expected, got %s%s", typeName(t), show(value), hint)
}

// bounds checks min, max and enum.
func (l *loader) bounds(path string, s Setting, field reflect.Value) {
	field = reflect.Indirect(field)
	if len(s.Enum) > 0 {
		l.enum(path, s, field)
	}
	if s.Required && field.Kind() == reflect.Slice && field.Len() == 0 {
		l.fault(path, "required, but the list is empty")
	}
	if s.Min != "" && less(field, bound(s.Min, s.typ)) {
		l.fault(path, "%v is below the least value, %s", field.Interface(), s.Min)
	}
	if s.Max != "" && less(bound(s.Max, s.typ), field) {
		l.fault(path, "%v is above the greatest value, %s", field.Interface(), s.Max)
	}
}

func (l *loader) enum(path string, s Setting, field reflect.Value) {
	values := []reflect.Value{field}
	if field.Kind() == reflect.Slice {
		values = nil
		for i := range field.Len() {
			values = append(values, field.Index(i))
		}
	}
	for _, v := range values {
		if text := fmt.Sprint(v.Interface()); !slices.Contains(s.Enum, text) {
			l.fault(path, "%q is none of %s%s", text, strings.Join(s.Enum, ", "), suggest(text, s.Enum))
		}
	}
}

// bound reads a min or max tag.
func bound(text string, t reflect.Type) reflect.Value {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := reflect.New(t).Elem()
	if err := parse(text, v); err != nil {
		panic(fmt.Sprintf("config: bound %q: %v", text, err))
	}
	return v
}

// less compares two numbers of one type.
func less(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float64:
		return a.Float() < b.Float()
	case reflect.Uint32:
		return a.Uint() < b.Uint()
	}
	return a.Int() < b.Int()
}

// show returns a value as an operator would recognise it.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "settings"
	case []any:
		return "a list"
	case nil:
		return "nothing"
	}
	return fmt.Sprint(value)
}
