package config

import (
	"go.yaml.in/yaml/v3"
)

// Text returns the settings of the driver as YAML.
func (d Driver) Text() (string, error) {
	text, err := yaml.Marshal(d.Raw)
	return string(text), err
}

// DriverOf returns the driver of settings that Text returned. The error names what is
// wrong with them.
func DriverOf(text string) (Driver, error) {
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		return Driver{}, err
	}
	l := &loader{files: []string{"drivers"}, where: positions{}}
	d := l.driver("drivers", raw)
	if len(l.faults) > 0 {
		return Driver{}, l.faults
	}
	return d, nil
}
