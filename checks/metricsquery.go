package checks

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MetricsQuery is a list of conditions that values of metrics have to meet, joined by and
// and or. As text it is as in `a{b="c"} < 4 and d >= 1 or e == 0`.
type MetricsQuery struct {
	any  [][]*metricCondition // all those of one list have to be met
	text string
}

// metricCondition is one comparison.
type metricCondition struct {
	selector   string // as it is written
	name       string
	matchers   []metricLabel
	comparison string
	threshold  float64
}

// metricLabel is a label of a sample, or a matcher of one.
type metricLabel struct {
	name, operator, value string
	pattern               *regexp.Regexp // of the matchers =~ and !~
}

// String returns q as it was written.
func (q MetricsQuery) String() string { return q.text }

// MarshalText returns q as it was written.
func (q MetricsQuery) MarshalText() ([]byte, error) { return []byte(q.text), nil }

// UnmarshalText reads a query.
func (q *MetricsQuery) UnmarshalText(text []byte) error {
	read := metricsQuery{any: [][]*metricCondition{nil}, text: string(text)}
	in := &metricScanner{text: read.text}
	for {
		c, err := in.condition()
		if err != nil {
			return fmt.Errorf("column %d: %w", utf8.RuneCountInString(in.text[:in.at])+1, err)
		}
		last := len(read.any) - 1
		read.any[last] = append(read.any[last], c)
		in.space()
		at := in.at
		switch word := in.name(); {
		case in.at == len(in.text) && word == "":
			*q = MetricsQuery(read)
			return nil
		case word == "or":
			read.any = append(read.any, nil)
		case word != "and":
			in.at = at
			return fmt.Errorf("column %d: expected 'and', 'or' or the end, got %s", utf8.RuneCountInString(in.text[:at])+1, in.rest())
		}
	}
}

// metricsQuery is a MetricsQuery without its methods.
type metricsQuery MetricsQuery

// selects reports whether a condition is about a sample.
func (c *metricCondition) selects(s metricSample) bool {
	if s.name != c.name {
		return false
	}
	for _, m := range c.matchers {
		value := "" // of a label that is not there
		for _, l := range s.labels {
			if l.name == m.name {
				value = l.value
			}
		}
		is := value == m.value
		if m.pattern != nil {
			is = m.pattern.MatchString(value)
		}
		if is != (m.operator[0] == '=') {
			return false
		}
	}
	return true
}

// met reports whether a value meets the condition. NaN meets none.
func (c *metricCondition) met(value float64) bool {
	switch c.comparison {
	case "<":
		return value < c.threshold
	case "<=":
		return value <= c.threshold
	case ">":
		return value > c.threshold
	case ">=":
		return value >= c.threshold
	case "==":
		return value == c.threshold
	}
	return value < c.threshold || value > c.threshold
}

// wanted is the condition without its selector.
func (c *metricCondition) wanted() string {
	return c.comparison + " " + strconv.FormatFloat(c.threshold, 'g', -1, 64)
}

// metricScanner reads a query or a sample. What it can't read it stands before.
type metricScanner struct {
	text string
	at   int
}

// rest quotes what is left, for an error.
func (in *metricScanner) rest() string {
	if in.at == len(in.text) {
		return "the end"
	}
	return excerpt([]byte(in.text[in.at:]))
}

func (in *metricScanner) space() {
	in.at = len(in.text) - len(strings.TrimLeft(in.text[in.at:], " \t\r\n"))
}

// take reads one of some words; "" if none is there.
func (in *metricScanner) take(words ...string) string {
	in.space()
	for _, word := range words {
		if strings.HasPrefix(in.text[in.at:], word) {
			in.at += len(word)
			return word
		}
	}
	return ""
}

// name reads the name of a metric, or of a label; "" if none is there.
func (in *metricScanner) name() string {
	in.space()
	start := in.at
	for in.at < len(in.text) {
		b := in.text[in.at]
		letter := b == '_' || b == ':' || 'a' <= b|0x20 && b|0x20 <= 'z'
		if !letter && (b < '0' || b > '9' || in.at == start) {
			break
		}
		in.at++
	}
	return in.text[start:in.at]
}

// value reads a label's value, quoted by one of the quotes, with the escapes of the text
// format: \\, \n and that of the quote.
func (in *metricScanner) value(quotes ...string) (string, error) {
	quote := in.take(quotes...)
	if quote == "" {
		return "", fmt.Errorf("expected a quoted value, got %s", in.rest())
	}
	var value strings.Builder
	for i := in.at; i < len(in.text); i++ {
		switch b := in.text[i]; {
		case b == quote[0]:
			in.at = i + 1
			return value.String(), nil
		case b == '\\' && i+1 < len(in.text):
			i++
			switch e := in.text[i]; e {
			case 'n':
				value.WriteByte('\n')
			case '\\', '"', '\'':
				value.WriteByte(e)
			default: // as it is, as in the \d of an expression
				value.WriteByte('\\')
				value.WriteByte(e)
			}
		default:
			value.WriteByte(b)
		}
	}
	in.at--
	return "", errors.New("the quoted value has no end")
}

// labels reads what is in braces, if anything is.
func (in *metricScanner) labels(quotes, operators []string) ([]metricLabel, error) {
	if in.take("{") == "" {
		return nil, nil
	}
	var all []metricLabel
	for in.take("}") == "" {
		if len(all) > 0 && in.take(",") == "" {
			return nil, fmt.Errorf("expected ',' or '}', got %s", in.rest())
		}
		if len(all) > 0 && in.take("}") != "" {
			break // a comma at the end
		}
		l := metricLabel{name: in.name()}
		if l.name == "" {
			return nil, fmt.Errorf("expected the name of a label, got %s", in.rest())
		}
		if l.operator = in.take(operators...); l.operator == "" {
			return nil, fmt.Errorf("expected %s, got %s", strings.Join(operators, " or "), in.rest())
		}
		var err error
		if l.value, err = in.value(quotes...); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// condition reads a condition of a query.
func (in *metricScanner) condition() (*metricCondition, error) {
	in.space()
	start := in.at
	c := &metricCondition{name: in.name()}
	if c.name == "" {
		return nil, fmt.Errorf("expected the name of a metric, got %s", in.rest())
	}
	var err error
	if c.matchers, err = in.labels([]string{`"`, `'`}, []string{"=~", "!~", "!=", "="}); err != nil {
		return nil, err
	}
	c.selector = strings.TrimSpace(in.text[start:in.at])
	for i := range c.matchers {
		m := &c.matchers[i]
		if !strings.HasSuffix(m.operator, "~") {
			continue
		}
		// Alone first: an error shows what was written, and a ) ends nothing of the other.
		if _, err = regexp.Compile(m.value); err == nil {
			m.pattern, err = regexp.Compile("^(?s:" + m.value + ")$")
		}
		if err != nil {
			return nil, fmt.Errorf("the expression of %s: %w", m.name, err)
		}
	}
	if c.comparison = in.take("<=", ">=", "==", "!=", "<", ">"); c.comparison == "" {
		return nil, fmt.Errorf("expected one of < <= > >= == !=, got %s", in.rest())
	}
	in.space()
	at := in.at
	c.threshold, err = in.number()
	if err == nil && math.IsNaN(c.threshold) {
		in.at = at
		return nil, errors.New("NaN can't be compared with")
	}
	return c, err
}

// number reads a number, which space ends.
func (in *metricScanner) number() (float64, error) {
	in.space()
	word := in.text[in.at:]
	if end := strings.IndexAny(word, " \t\r\n"); end >= 0 {
		word = word[:end]
	}
	number, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return 0, fmt.Errorf("expected a number, got %s", in.rest())
	}
	in.at += len(word)
	return number, nil
}
