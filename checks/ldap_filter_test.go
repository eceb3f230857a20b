package checks

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestLDAPFilter(t *testing.T) {
	for text, tt := range map[string]struct{ want, err string }{
		// Examples of RFC 4515 section 4; the bytes of the last by hand.
		`(cn=Babs Jensen)`:  {},
		`(!(cn=Tim Howes))`: {},
		`(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))`: {},
		`(o=univ*of*mich*)`:                                      {},
		`(seeAlso=)`:                                             {},
		`(cn:caseExactMatch:=Fred Flintstone)`:                   {},
		`(cn:=Betty Rubble)`:                                     {},
		`(sn:dn:2.4.6.8.10:=Barney Rubble)`:                      {},
		`(o:dn:=Ace Industry)`:                                   {},
		`(:1.2.3:=Wilma Flintstone)`:                             {},
		`(:dn:2.4.6.8.10:=Dino)`:                                 {},
		`(o=Parens R Us \28for all your parenthetical needs\29)`: {},
		`(cn=*\2a*)`:                                             {},
		`(bin=\00\00\00\04)`:                                     {},
		`(cn;lang-de>=a)`:                                        {},
		`(1.2.3<=a)`:                                             {},
		`(cn~=a=b)`:                                              {},
		`(cn=*)`:                                                 {want: "8702636e"},
		`(&)`:                                                    {want: "a000"}, // RFC 4526: true
		`(|)`:                                                    {want: "a100"},
		`(cn=a*b*c)`:                                             {want: "a40f 0402636e 3009 800161 810162 820163"},
		`(cn:dn:x:=a)`:                                           {want: "a90d 810178 8202636e 830161 8401ff"},

		``:              {err: `no ( at ""`},
		`cn=a`:          {err: `no ( at "cn=a"`},
		`(`:             {err: `it ends after (`},
		`(cn=a`:         {err: `no ) after "cn=a"`},
		`(cn=a))`:       {err: `")" follows after its end`},
		`(cn)`:          {err: `no = in "cn"`},
		`(=a)`:          {err: `"" is no name of an attribute`},
		`(c n=a)`:       {err: `"c n" is no name of an attribute`},
		`(!)`:           {err: `! takes one filter, not 0`},
		`(!(a=b)(c=d))`: {err: `! takes one filter, not 2`},
		`(&(a=b)`:       {err: `no ( at ""`},
		`(&a=b)`:        {err: `no ( at "a=b)"`},
		`(cn=(a)`:       {err: `'(' in a value is written \28`},
		`(cn>=a*)`:      {err: `'*' in a value is written \2a`},
		`(cn=a**b)`:     {err: `** in "a**b"`},
		`(cn=a\)`:       {err: `no two hex digits after \ in "a\\"`},
		`(cn=a\4)`:      {err: `no two hex digits after \ in "a\\4"`},
		`(cn=*a\xy*)`:   {err: `no two hex digits after \ in "a\\xy"`},
		`(:=a)`:         {err: `":" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(:dn:=a)`:      {err: `":dn:" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(cn:a:b:=a)`:   {err: `"cn:a:b:" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(cn:a=a)`:      {err: `"cn:a" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(cn:x y:=a)`:   {err: `"cn:x y:" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(c n:x:=a)`:    {err: `"c n:x:" is no match by a rule, as cn:dn:caseExactMatch: is`},
		`(cn:x:=*)`:     {err: `'*' in a value is written \2a`},
	} {
		t.Run(text, func(t *testing.T) {
			filter, err := ldapFilter(text)
			if tt.err != "" {
				tt.err = fmt.Sprintf("%q is no filter: %s", text, tt.err)
			}
			sameError(t, err, tt.err, "")
			if got := hex.EncodeToString(filter); tt.want != "" && got != strings.ReplaceAll(tt.want, " ", "") {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if err == nil && written(t, filter) != text {
				t.Errorf("it says %s", written(t, filter))
			}
		})
	}
}

// written writes a filter that is encoded, which encoding/asn1 reads.
func written(t *testing.T, filter []byte) string {
	t.Helper()
	e := elements(t, filter)[0]
	part := func() []asn1.RawValue { return elements(t, e.Bytes) }
	switch e.Tag {
	case 0, 1, 2:
		out := "(" + string("&|!"[e.Tag])
		for _, p := range part() {
			out += written(t, p.FullBytes)
		}
		return out + ")"
	case 3, 5, 6, 8:
		sign := map[int]string{3: "=", 5: ">=", 6: "<=", 8: "~="}[e.Tag]
		return "(" + string(part()[0].Bytes) + sign + escaped(part()[1].Bytes) + ")"
	case 4:
		var words [3]string
		for _, p := range elements(t, part()[1].Bytes) {
			words[p.Tag] += map[bool]string{true: "*"}[p.Tag == 1] + escaped(p.Bytes)
		}
		return "(" + string(part()[0].Bytes) + "=" + words[0] + words[1] + "*" + words[2] + ")"
	case 7:
		return "(" + string(e.Bytes) + "=*)"
	}
	var rule, name, value, ofDN string
	for _, p := range part() {
		switch p.Tag {
		case 1:
			rule = ":" + string(p.Bytes)
		case 2:
			name = string(p.Bytes)
		case 3:
			value = escaped(p.Bytes)
		case 4:
			ofDN = ":dn"
		}
	}
	return "(" + name + ofDN + rule + ":=" + value + ")"
}

// escaped writes a value.
func escaped(value []byte) string {
	var out strings.Builder
	for _, c := range value {
		if strings.IndexByte("()*\\\x00", c) >= 0 || c < ' ' {
			fmt.Fprintf(&out, "\\%02x", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// elements reads elements by encoding/asn1, which wants each as short as can be.
func elements(t *testing.T, raw []byte) []asn1.RawValue {
	t.Helper()
	var all []asn1.RawValue
	for len(raw) > 0 {
		var e asn1.RawValue
		rest, err := asn1.Unmarshal(raw, &e)
		if err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		all, raw = append(all, e), rest
	}
	return all
}

// FuzzLDAPFilter looks for filters that are read, but do not mean what they say: what they
// became has to be read as the same.
func FuzzLDAPFilter(f *testing.F) {
	f.Add(`(&(objectClass=Person)(|(sn=Jens\\2a)(!(cn=Ba*bs J*)))(a:dn:1.2:=b)(c~=d)(e>=f)(g<=h))`)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ldapFilter(text)
		if err != nil {
			return
		}
		again, err := ldapFilter(written(t, filter))
		if err != nil || string(again) != string(filter) {
			t.Errorf("%q became %q: %v", text, written(t, filter), err)
		}
	})
}
