package control

import (
	"net"
	"sync"
)

// limited is a listener that has no more than a number of connections at once. Further
// ones wait in the kernel, where they cost keepcast no descriptor and no memory.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	close  func() error
}

// limit returns l with as many connections at once as slots has room for.
func limit(l net.Listener, slots chan struct{}) *limited {
	closed := make(chan struct{})
	return &limited{l, slots, closed, sync.OnceValue(func() error { close(closed); return l.Close() })}
}

// sendBuffer bounds what the kernel keeps for a client that does not read.
const sendBuffer = 64 << 10

// Accept waits for a slot before it takes a connection from the kernel.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer) // what the kernel gives by itself is bounded, too
	}
	return &counted{conn, sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends an Accept that waits for a slot, too.
func (l *limited) Close() error { return l.close() }

// counted is a connection that gives its slot back when it is closed.
type counted struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
