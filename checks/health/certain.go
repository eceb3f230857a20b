package health

import "errors"

// A failure is certain when it leaves no doubt: nothing listens on the port any more, the
// unit is inactive, the process is gone. To look again would tell nothing new, so one such
// failure makes the check down, whatever Fall says; see Schedule.Patience.

// certainError marks an error as certain.
type certainError struct{ error }

func (c certainError) Unwrap() error { return c.error }

// Certain marks a failure as certain. A nil error stays nil.
func Certain(err error) error {
	if err == nil {
		return nil
	}
	return certainError{err}
}

// IsCertain reports whether a failure is marked as certain, and is none of keepcast's own.
func IsCertain(err error) bool {
	_, marked := errors.AsType[certainError](err)
	return marked && !IsVoid(err)
}
