package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"time"
)

// valueError is an error in our own words, to be told from mapstructure's.
type valueError struct{ err error }

func (e *valueError) Error() string { return e.err.Error() }

// strict reads durations and texts. A bare number is no duration: `timeout: 5`
// would be five nanoseconds.
func strict(_ reflect.Type, to reflect.Type, value any) (any, error) {
	s, isString := value.(string)
	switch {
	case to == durationType:
		if !isString {
			return nil, &valueError{fmt.Errorf("duration with a unit expected, such as 500ms or 2s, got %s", show(value))}
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, &valueError{fmt.Errorf("duration with a unit expected, such as 500ms or 2s, got %q", s)}
		}
		return d, nil
	case to.Kind() != reflect.Pointer && isText(to):
		switch value.(type) {
		case string, int, float64, bool:
		default: // mapstructure would take settings, or a date, for the fields of the struct
			return nil, errors.New("no text")
		}
		out := reflect.New(to)
		if err := out.Interface().(encoding.TextUnmarshaler).UnmarshalText(fmt.Append(nil, value)); err != nil {
			return nil, &valueError{misread(to, fmt.Sprint(value), err)}
		}
		return out.Elem().Interface(), nil
	case to.Kind() == reflect.Float64:
		if f, ok := value.(float64); ok && math.IsNaN(f) { // it is within all bounds
			return nil, &valueError{fmt.Errorf("number expected, got %v", f)}
		}
	case to.Kind() == reflect.Uint32:
		// mapstructure would take what does not fit modulo 2^32.
		if n, ok := value.(int); ok && (n < 0 || uint64(n) > math.MaxUint32) {
			return nil, &valueError{fmt.Errorf("%d is not between 0 and %d", n, uint32(math.MaxUint32))}
		}
		if f, ok := value.(float64); ok {
			return nil, &valueError{fmt.Errorf("whole number expected, got %v", f)}
		}
	case to.Kind() == reflect.Int:
		// mapstructure would cut 2.5 down to 2.
		if f, ok := value.(float64); ok {
			return nil, &valueError{fmt.Errorf("whole number expected, got %v", f)}
		}
	}
	return value, nil
}

// misread is what is wrong with a text for which the library has the words of a programmer.
func misread(to reflect.Type, text string, err error) error {
	switch to {
	case reflect.TypeFor[netip.Addr]():
		return fmt.Errorf("%q is no address, such as 192.0.2.1 or 2001:db8::1", text)
	case reflect.TypeFor[netip.AddrPort]():
		return fmt.Errorf("%q is no address with a port, such as 127.0.0.1:53 or [::1]:53", text)
	case reflect.TypeFor[netip.Prefix]():
		return fmt.Errorf("%q is no prefix with its length, such as 192.0.2.0/24 or, for a default route, 0.0.0.0/0 or ::/0", text)
	}
	return err
}
