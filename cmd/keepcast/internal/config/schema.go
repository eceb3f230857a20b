package config

import (
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/invopop/jsonschema"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/kinds"
)

// durationPattern is what time.ParseDuration reads, without signs.
const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`

// Schema returns the JSON Schema (draft 2020-12) of keepcast.yaml and its
// drop-ins, for editors to complete and check by.
func Schema() *jsonschema.Schema {
	top := object(Settings(Main{}))
	top.Version = jsonschema.Version
	top.Title = "keepcast.yaml"
	top.Description = "Configuration of keepcast; drop-ins in conf.d have the same form."
	top.Properties.Set("defaults", describe(object(Settings(health.Schedule{})), "Schedule of every check that does not say otherwise."))
	top.Properties.Set("drivers", describe(list(driverSchema()), "The routing daemons to be kept in sync."))
	top.Properties.Set("checks", describe(list(checkSchema()), "Checks that services use. Each runs once, whoever uses it."))
	top.Properties.Set("services", describe(list(serviceSchema()), "The services and their anycast addresses."))
	return top
}

func serviceSchema() *jsonschema.Schema {
	s := object(append(Settings(Service{}), Settings(health.Schedule{})...))
	one := checkSchema(describe(object(Settings(Use{})), "A check of the top level."))
	s.Properties.Set("checks", describe(list(one), "The checks that decide whether the service is fit."))
	return s
}

// checkSchema is a check of any kind, or something else that may stand there.
func checkSchema(or ...*jsonschema.Schema) *jsonschema.Schema {
	each := or
	for _, k := range checks.Kinds() {
		own := append(Settings(Check{}), Settings(k.New())...)
		each = append(each, ofKind(own, k.Name, k.Doc))
	}
	return &jsonschema.Schema{OneOf: each}
}

func driverSchema() *jsonschema.Schema {
	var each []*jsonschema.Schema
	for _, k := range kinds.All() {
		own := append(Settings(Driver{}), Settings(k.New())...)
		each = append(each, ofKind(own, k.Name, k.Doc))
	}
	return &jsonschema.Schema{OneOf: each}
}

// ofKind is an object whose kind is fixed.
func ofKind(settings []Setting, kind, doc string) *jsonschema.Schema {
	s := describe(object(settings), doc)
	s.Properties.Set("kind", &jsonschema.Schema{Const: kind})
	return s
}

func object(settings []Setting) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for _, setting := range settings {
		s.Properties.Set(setting.Name, setting.schema())
		if setting.Required {
			s.Required = append(s.Required, setting.Name)
		}
	}
	return s
}

func list(items *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: items}
}

func describe(s *jsonschema.Schema, doc string) *jsonschema.Schema {
	s.Description = doc
	return s
}

// schema returns the schema of one setting.
func (s Setting) schema() *jsonschema.Schema {
	if s.Settings != nil {
		return describe(object(s.Settings), s.Doc)
	}
	out := describe(typeSchema(s.typ), s.Doc+s.Change.note())
	if s.Default != "" {
		out.Default = s.defaultValue()
	}
	target := out
	if out.Items != nil {
		target = out.Items
	}
	for _, e := range s.Enum {
		target.Enum = append(target.Enum, e)
		if _, err := strconv.ParseFloat(e, 64); err == nil { // to YAML that is a number
			target.Enum = append(target.Enum, json.Number(e))
			target.Type = ""
		}
	}
	if out.Type == "integer" || out.Type == "number" {
		out.Minimum, out.Maximum = number(s.Min), number(s.Max)
	}
	return out
}

// defaultValue returns the default as JSON would write it.
func (s Setting) defaultValue() any {
	if s.typ == durationType || isText(s.typ) {
		return s.Default
	}
	v := reflect.New(s.typ).Elem()
	if err := parse(s.Default, v); err != nil {
		return s.Default
	}
	return v.Interface()
}

func typeSchema(t reflect.Type) *jsonschema.Schema {
	switch {
	case t == durationType:
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
	case isText(t):
		// A text may look like a number to YAML: `codes: [200]`.
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.Int, reflect.Uint32:
		return &jsonschema.Schema{Type: "integer"}
	case reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	case reflect.Slice:
		return list(typeSchema(t.Elem()))
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: typeSchema(t.Elem())}
	default:
		return &jsonschema.Schema{Type: "string"}
	}
}

// number turns a bound into JSON's number; an empty one stays out of the schema.
func number(text string) json.Number {
	return json.Number(text)
}
