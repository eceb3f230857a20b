package checks

import (
	"net"
	"testing"
)

// The servers that tests make, all on loopback, and addresses where there is none.

// listen accepts TCP connections and hands each to serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	return listenOn(t, "tcp", "127.0.0.1:0", serve)
}

// listenOn is listen on an address, such as one of a unix socket.
func listenOn(t *testing.T, network, address string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-accepting })
	go func() {
		defer close(accepting)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// says says something at once, and closes.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Write([]byte(text))
		c.(*net.TCPConn).CloseWrite()
	}
}

// replies says something for each time that it is written to, and then goes on to listen.
func replies(texts ...string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		for _, text := range texts {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
		}
	}
}

// datagrams answers each datagram by what answer returns.
func datagrams(t *testing.T, answer func(asked string) []string) string {
	t.Helper()
	return datagramsAt(t, "127.0.0.1:0", answer)
}

// datagramsAt is datagrams at an address.
func datagramsAt(t *testing.T, address string, answer func(asked string) []string) string {
	t.Helper()
	conn := receive(t, address, func(conn net.PacketConn, asked string, from net.Addr) {
		for _, one := range answer(asked) {
			conn.WriteTo([]byte(one), from)
		}
	})
	return conn.LocalAddr().String()
}

// byDatagram is datagrams with up to one answer; nil: none.
func byDatagram(t *testing.T, serve func(asked []byte) []byte) string {
	t.Helper()
	return datagrams(t, func(asked string) []string {
		if answer := serve([]byte(asked)); answer != nil {
			return []string{string(answer)}
		}
		return nil
	})
}

// receive hands each datagram for an address to serve, one after the other.
func receive(t *testing.T, address string, serve func(conn net.PacketConn, asked string, from net.Addr)) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			serve(conn, string(buf[:n]), from)
		}
	}()
	return conn
}

// freeAddress returns an address on loopback where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// freePorts returns n addresses on loopback on which nothing listens.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var free []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free = append(free, l.Addr().String())
	}
	return free
}

// closedPort returns an address of loopback whose UDP port was just free.
func closedPort(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return conn.LocalAddr().String()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
