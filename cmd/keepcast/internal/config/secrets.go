package config

import (
	"reflect"
	"strings"
)

// SecretFiles returns the files with secrets that the check reads: those of the settings
// whose names end in _file, as in password_file, and the key of TLS.
func (c Check) SecretFiles() []string {
	return secretFiles("", c.Checker)
}

func secretFiles(group string, settings any) (files []string) {
	of := reflect.Indirect(reflect.ValueOf(settings))
	for _, s := range Settings(settings) {
		field := of.FieldByIndex(s.index)
		switch name := join(group, s.Name); {
		case s.Settings != nil:
			files = append(files, secretFiles(name, field.Interface())...)
		case field.Kind() == reflect.String && field.String() != "" && (strings.HasSuffix(name, "_file") || name == "tls.key"):
			files = append(files, field.String())
		}
	}
	return files
}
