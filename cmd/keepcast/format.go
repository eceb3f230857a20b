package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// formatFlag adds the flag by which a command is told how to print.
func formatFlag(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "output", "o", "table", "table, json or yaml")
	if err := c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag stands above
	}
}

// shows returns what prints in a format. Table is for people.
func shows[T any](format string, table func(io.Writer, T) error) (func(io.Writer, T) error, error) {
	show, ok := map[string]func(io.Writer, T) error{"table": table, "json": asJSON[T], "yaml": asYAML[T]}[format]
	if !ok {
		return nil, usageError{fmt.Errorf("no output format %q (known: table, json, yaml)", format)}
	}
	return show, nil
}

// asJSON is for scripts.
func asJSON[T any](out io.Writer, v T) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// noYAML is what may stand in JSON, but not in YAML.
var noYAML = regexp.MustCompile(`[\x7f-\x{9f}]`)

// asYAML goes by way of JSON, which is YAML, so that both have one set of names.
func asYAML[T any](out io.Writer, v T) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(noYAML.ReplaceAllFunc(text, func(c []byte) []byte { return []byte(escape(string(c))) }), &node); err != nil {
		return err
	}
	plainStyle(&node)
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	return enc.Close()
}

// plainStyle takes JSON's braces and quotes off. What is printed escaped keeps its quotes,
// for YAML knows escapes only there, and so do tabs: the library would indent by them.
func plainStyle(n *yaml.Node) {
	n.Style = 0
	if escape(n.Value) != n.Value || strings.Contains(n.Value, "\t") {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		plainStyle(c)
	}
}
