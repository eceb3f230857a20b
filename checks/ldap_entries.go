package checks

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ldapFound is what a search found.
type ldapFound struct {
	entries    []ldapEntry
	references []string // other servers that have more of it
	cut        bool     // there are more entries than were asked for
}

// ldapEntry is one entry, with those of its attributes that were asked for.
type ldapEntry struct {
	dn         string
	attributes map[string][]string // by the names in lower case, without options
}

// values returns the values of an attribute, whatever the case of its name.
func (e ldapEntry) values(name string) []string { return e.attributes[bareName(name)] }

// bareName is the name of an attribute without its options (RFC 4512 section 2.5): a
// server that was asked for "cn" may answer "CN;lang-en", Active Directory "member;range=0-1499".
func bareName(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(name), ";")
	return name
}

// ldapAttribute is an attribute that the entries must have; want is nil if any value will do.
type ldapAttribute struct {
	name string
	want *regexp.Regexp
}

// attributes reads the setting of that name.
func (l *LDAP) attributes() ([]ldapAttribute, error) {
	var all []ldapAttribute
	for i, text := range l.Attributes {
		name, pattern, valued := strings.Cut(text, "=")
		if !isAttributeName(name) {
			return nil, fmt.Errorf("attributes[%d]: %q is no name of an attribute", i, name)
		}
		a := ldapAttribute{name: name}
		if valued {
			var err error
			if a.want, err = regexp.Compile(pattern); err != nil {
				return nil, fmt.Errorf("attributes[%d]: %w", i, err)
			}
		}
		all = append(all, a)
	}
	return all, nil
}

// isAttributeName reports whether s may be an attribute description (RFC 4512 section 2.5).
func isAttributeName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-.;"
	return s != "" && strings.Trim(strings.ToLower(s), letters) == ""
}

// judge says why the entries are not those of a fit service.
func (f ldapFound) judge(least int, wanted []ldapAttribute) error {
	if n := len(f.entries); n < least {
		text := fmt.Sprintf("got %d entries, expected at least %d", n, least)
		switch {
		case f.cut:
			text += ": the server does not give more at once (4)"
		case len(f.references) > 0:
			text += ": it refers to " + excerpt([]byte(f.references[0])) + ", which is not followed"
		}
		return errors.New(text)
	}
	for _, a := range wanted {
		if err := a.judge(f.entries); err != nil {
			return err
		}
	}
	return nil
}

// judge says why no entry has the attribute.
func (a ldapAttribute) judge(entries []ldapEntry) error {
	var others []string
	for _, e := range entries {
		values := e.values(a.name)
		if a.want == nil && len(values) > 0 || a.want != nil && slices.ContainsFunc(values, a.want.MatchString) {
			return nil
		}
		others = append(others, values...)
	}
	of := fmt.Sprintf("%d entries", len(entries))
	if len(entries) == 1 {
		of = excerpt([]byte(entries[0].dn))
	}
	if len(others) == 0 {
		return fmt.Errorf("no %s in %s: it is not there, or there is no right to read it%s", a.name, of, insteadOf(entries))
	}
	return fmt.Errorf("no %s in %s matches '%s', got %s", a.name, of, a.want, a.show(others))
}

// insteadOf tells which attributes the server sent: asked for commonName or 2.5.4.3, it
// sends cn.
func insteadOf(entries []ldapEntry) string {
	names := map[string]bool{}
	for _, e := range entries {
		for name := range e.attributes {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", or under another name (there are %s)", excerpt([]byte(strings.Join(slices.Sorted(maps.Keys(names)), ", "))))
}

// show quotes the first of the values, but not if they may be secrets, such as those of
// userPassword, unicodePwd or krbPrincipalKey.
func (a ldapAttribute) show(values []string) string {
	name := bareName(a.name)
	for _, secret := range []string{"password", "pwd", "key", "secret"} {
		if strings.Contains(name, secret) {
			return masked
		}
	}
	const most = 5
	var shown []string
	for _, v := range values[:min(len(values), most)] {
		shown = append(shown, excerpt([]byte(v)))
	}
	if more := len(values) - most; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}
