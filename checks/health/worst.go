package health

import "time"

// WorstCase returns the longest time from the moment when a service stops to
// answer, or to answer well, until the check is down. It is a bound that really
// occurs: the run before has just seen the service fit and is slow to end, the
// next one starts as late as the jitter has it, and every failure takes the
// whole timeout. A check that is told of the failure (see Watcher) does not wait
// for the next run. Of the failures with Patience, those that count come first. One that does
// not end with its timeout takes a second more.
func (s Schedule) WorstCase(told bool) time.Duration {
	first := s.ToNextRun()
	if told {
		first = s.Timeout // a run may be under way
	}
	return first + s.ToFall() + s.PutOff()
}

// AtOnce returns the longest time from a certain failure that the check is told of until it
// is down. It mostly takes a millisecond: a run may be under way, and may take its timeout
// to fail.
func (s Schedule) AtOnce() time.Duration { return 2*s.Timeout + s.PutOff() }

// PutOff returns by how much Patience puts off the fall at the most: a run that begins right
// before it is over does not count, and may take its timeout.
func (s Schedule) PutOff() time.Duration {
	if s.Patience == 0 {
		return 0
	}
	return s.Patience + s.Timeout
}

// ToNextRun returns the longest time from the start of a run that finds the service
// fit to the start of the next one: interval and jitter, and what slot leaves
// out when the run is slow.
func (s Schedule) ToNextRun() time.Duration {
	jitter := time.Duration(s.Jitter * float64(s.Interval))
	slots := s.Timeout / s.Interval // that a slow run misses
	late := s.Timeout % s.Interval
	if late > 0 && s.Interval-late < jitter {
		// With its own jitter the run reaches into one slot more.
		return s.Interval + jitter + s.Timeout
	}
	return (slots+1)*s.Interval + jitter
}

// ToFall returns the longest time from the start of the first run that fails
// to the end of the one that makes the check down.
func (s Schedule) ToFall() time.Duration {
	return time.Duration(s.Fall-1)*max(s.fast(), s.Timeout) + s.Timeout
}
