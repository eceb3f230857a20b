package config

import (
	"fmt"
	"slices"
	"strings"
)

// dependencies checks that the services on which others depend are there, and that none
// depends on itself, in however many steps: all of such a circle would wait for each other
// for ever.
func (l *loader) dependencies(c *Config) {
	var names []string
	needs := map[string][]string{}
	for _, s := range c.Services {
		names = append(names, s.Name)
		needs[s.Name] = s.DependsOn
	}
	for _, s := range c.Services {
		for i, name := range s.DependsOn {
			path := fmt.Sprintf("services[%s].depends_on[%d]", s.Name, i)
			if !slices.Contains(names, name) {
				l.lacks(path, "no service %q%s", name, suggest(name, names))
			} else if circle := append([]string{s.Name}, way(needs, name, s.Name)...); len(circle) > 1 && first(names, circle) == s.Name {
				l.fault(path, "these services would wait for each other for ever: %s", strings.Join(circle, " depends on "))
			}
		}
	}
}

// Dependencies returns the names of the services that one depends on, directly or by way of
// others, each once.
func (c *Config) Dependencies(s Service) []string {
	var all []string
	next := s.DependsOn
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		if slices.Contains(all, name) {
			continue
		}
		all = append(all, name)
		for _, other := range c.Services {
			if other.Name == name {
				next = append(slices.Clone(next), other.DependsOn...)
			}
		}
	}
	return all
}

// way returns the shortest way from one service to another along what they depend on, with
// both ends; nil: there is none.
func way(needs map[string][]string, from, to string) []string {
	ways := [][]string{{from}}
	been := map[string]bool{from: true}
	for len(ways) > 0 {
		here := ways[0]
		ways = ways[1:]
		end := here[len(here)-1]
		if end == to {
			return here
		}
		for _, next := range needs[end] {
			if !been[next] {
				been[next] = true
				ways = append(ways, append(slices.Clone(here), next))
			}
		}
	}
	return nil
}

// first returns the one of a circle that is configured first, so that each circle is told of
// once.
func first(names, circle []string) string {
	for _, name := range names {
		if slices.Contains(circle, name) {
			return name
		}
	}
	return ""
}
