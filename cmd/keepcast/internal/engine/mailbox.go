package engine

// mailbox holds the newest value that was put and not yet taken: older ones are
// of no use, so a slow reader catches up in one step. One goroutine puts.
type mailbox[T any] chan T

func newMailbox[T any]() mailbox[T] { return make(mailbox[T], 1) }

func (m mailbox[T]) put(v T) {
	for {
		select {
		case m <- v:
			return
		default:
		}
		select {
		case <-m:
		default:
		}
	}
}

// bell wakes a goroutine; ringing it twice before it is heard is ringing it once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
