package checks

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// DNSQuestion is one more question of a check, written as "example.com MX"; without a type
// it is A.
type DNSQuestion struct {
	Name string
	Type RRType
}

// Syntax is what the reference calls it.
func (DNSQuestion) Syntax() string { return "name and type" }

// String writes the question as it is read.
func (q DNSQuestion) String() string { return q.Name + " " + q.Type.String() }

// MarshalText writes the question as it is read.
func (q DNSQuestion) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads a name and a type.
func (q *DNSQuestion) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	if len(words) < 1 || len(words) > 2 {
		return fmt.Errorf("%q is no name and type, as in 'example.com MX'", text)
	}
	q.Name, q.Type = words[0], RRType(dns.TypeA)
	if len(words) == 2 {
		return q.Type.UnmarshalText([]byte(words[1]))
	}
	return nil
}

// validate says what is wrong with a question; the settings are what its parts are called.
func (q DNSQuestion) validate(name, rrtype string) error {
	if _, ok := dns.IsDomainName(q.Name); !ok || q.Name == "" {
		return fmt.Errorf("%s: %q is no domain name", name, q.Name)
	}
	if t := uint16(q.Type); t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeNone || t == dns.TypeOPT {
		return fmt.Errorf("%s: %s can't be asked for by one query", rrtype, q.Type)
	}
	return nil
}

// first returns the question that all settings are about.
func (d *DNS) first() DNSQuestion { return DNSQuestion{d.Query, d.Type} }

// validateQuestions is the part of Validate that is about the questions.
func (d *DNS) validateQuestions() error {
	err := d.first().validate("query", "type")
	for i, q := range d.Also {
		setting := fmt.Sprintf("also[%d]", i)
		err = cmp.Or(err, q.validate(setting, setting))
	}
	return err
}
