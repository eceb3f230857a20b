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
		_, by := reach(needs, s.Name)
		_, inCircle := by[s.Name] // else there is none to look for, which takes long
		for i, name := range s.DependsOn {
			path := fmt.Sprintf("services[%s].depends_on[%d]", s.Name, i)
			switch {
			case !slices.Contains(names, name):
				l.lacks(path, "no service %q%s", name, suggest(name, names))
			case inCircle:
				if circle := append([]string{s.Name}, way(needs, name, s.Name)...); len(circle) > 1 && first(names, circle) == s.Name {
					l.fault(path, "these services would wait for each other for ever: %s", strings.Join(circle, " depends on "))
				}
			}
		}
	}
}

// Dependencies returns the names of the services that one depends on, directly or by way of
// others, each once.
func (c *Config) Dependencies(s Service) []string {
	needs := map[string][]string{}
	for _, other := range c.Services {
		needs[other.Name] = other.DependsOn
	}
	all, _ := reach(needs, s.Name)
	return all
}

// reach returns what one service depends on, the nearest first, and by which service each of
// these was reached first.
func reach(needs map[string][]string, from string) (all []string, by map[string]string) {
	by = map[string]string{}
	for i, here := 0, from; ; i++ {
		for _, next := range needs[here] {
			if _, been := by[next]; !been {
				by[next] = here
				all = append(all, next)
			}
		}
		if i == len(all) {
			return all, by
		}
		here = all[i]
	}
}

// way returns the shortest way from one service to another along what they depend on, with
// both ends; nil: there is none.
func way(needs map[string][]string, from, to string) []string {
	_, by := reach(needs, from)
	path := []string{to}
	for path[0] != from {
		before, reached := by[path[0]]
		if !reached {
			return nil
		}
		path = slices.Insert(path, 0, before)
	}
	return path
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
