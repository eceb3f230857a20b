package checks

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The kinds of filters, as they are sent (RFC 4511 section 4.5.1.7).
const (
	filterAnd        = 0xa0
	filterOr         = 0xa1
	filterNot        = 0xa2
	filterEqual      = 0xa3
	filterSubstrings = 0xa4
	filterGreater    = 0xa5
	filterLess       = 0xa6
	filterPresent    = 0x87
	filterApprox     = 0xa8
	filterExtensible = 0xa9
)

// ldapFilter encodes a search filter that is written as RFC 4515 has it.
func ldapFilter(text string) ([]byte, error) {
	filter, rest, err := oneFilter(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("%q follows after its end", rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no filter: %w", text, err)
	}
	return filter, nil
}

// oneFilter encodes the filter at the start of text, and returns what is behind it.
func oneFilter(text string) (filter []byte, rest string, err error) {
	inner, opened := strings.CutPrefix(text, "(")
	if !opened {
		return nil, "", fmt.Errorf("no ( at %q", text)
	}
	if inner == "" {
		return nil, "", errors.New("it ends after (")
	}
	tag := map[byte]byte{'&': filterAnd, '|': filterOr, '!': filterNot}[inner[0]]
	if tag == 0 {
		item, rest, closed := strings.Cut(inner, ")")
		if !closed {
			return nil, "", fmt.Errorf("no ) after %q", inner)
		}
		filter, err = filterItem(item)
		return filter, rest, err
	}
	var parts [][]byte
	for rest = inner[1:]; !strings.HasPrefix(rest, ")"); {
		var part []byte
		if part, rest, err = oneFilter(rest); err != nil {
			return nil, "", err
		}
		parts = append(parts, part)
	}
	if tag == filterNot && len(parts) != 1 {
		return nil, "", fmt.Errorf("! takes one filter, not %d", len(parts))
	}
	return berTLV(tag, parts...), rest[1:], nil
}

// filterItem encodes what stands in parentheses, as in "uid=probe".
func filterItem(item string) ([]byte, error) {
	left, value, valued := strings.Cut(item, "=")
	if !valued {
		return nil, fmt.Errorf("no = in %q", item)
	}
	tag, name := byte(filterEqual), left
	for sign, of := range map[string]byte{"~": filterApprox, ">": filterGreater, "<": filterLess} {
		if before, ends := strings.CutSuffix(left, sign); ends {
			tag, name = of, before
		}
	}
	if strings.Contains(left, ":") {
		return extensible(left, value)
	}
	if !isAttributeName(name) {
		return nil, fmt.Errorf("%q is no name of an attribute", name)
	}
	attribute := berTLV(berOctetString, []byte(name))
	if tag == filterEqual && value == "*" {
		return berTLV(filterPresent, []byte(name)), nil
	}
	if tag == filterEqual && strings.Contains(value, "*") {
		parts, err := substrings(value)
		return berTLV(filterSubstrings, attribute, berTLV(berSequence, parts...)), err
	}
	plain, err := unescape(value)
	return berTLV(tag, attribute, berTLV(berOctetString, plain)), err
}

// substrings encodes the parts of a value between its stars.
func substrings(value string) ([][]byte, error) {
	const initial, middle, final = 0x80, 0x81, 0x82
	words := strings.Split(value, "*")
	var parts [][]byte
	for i, word := range words {
		plain, err := unescape(word)
		if err != nil {
			return nil, err
		}
		tag := byte(middle)
		switch i {
		case 0:
			tag = initial
		case len(words) - 1:
			tag = final
		}
		if word != "" {
			parts = append(parts, berTLV(tag, plain))
		} else if tag == middle {
			return nil, fmt.Errorf("** in %q", value)
		}
	}
	return parts, nil
}

// extensible encodes a match by a rule, of which left is as in "cn:dn:caseExactMatch:".
func extensible(left, value string) ([]byte, error) {
	const rule, attribute, match, ofDN = 0x81, 0x82, 0x83, 0x84
	words := strings.Split(left, ":")
	name, words, last := words[0], words[1:len(words)-1], words[len(words)-1]
	withDN := len(words) > 0 && strings.EqualFold(words[0], "dn")
	if withDN {
		words = words[1:]
	}
	named := len(words) == 1 && isAttributeName(words[0])
	if last != "" || len(words) > 1 || len(words) == 1 && !named || name != "" && !isAttributeName(name) || name == "" && !named {
		return nil, fmt.Errorf("%q is no match by a rule, as cn:dn:caseExactMatch: is", left)
	}
	var parts [][]byte
	if named {
		parts = append(parts, berTLV(rule, []byte(words[0])))
	}
	if name != "" {
		parts = append(parts, berTLV(attribute, []byte(name)))
	}
	plain, err := unescape(value)
	parts = append(parts, berTLV(match, plain))
	if withDN {
		parts = append(parts, berTLV(ofDN, []byte{0xff}))
	}
	return berTLV(filterExtensible, parts...), err
}

// unescape replaces each \XX of a value by the byte that it stands for.
func unescape(value string) ([]byte, error) {
	var plain []byte
	for rest := value; rest != ""; {
		c := rest[0]
		if strings.IndexByte("(*\x00", c) >= 0 {
			return nil, fmt.Errorf("%q in a value is written \\%02x", c, c)
		}
		if c != '\\' {
			plain, rest = append(plain, c), rest[1:]
			continue
		}
		b, err := hex.DecodeString(rest[1:min(3, len(rest))])
		if err != nil || len(b) != 1 {
			return nil, fmt.Errorf("no two hex digits after \\ in %q", value)
		}
		plain, rest = append(plain, b...), rest[3:]
	}
	return plain, nil
}
