package control

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dial connects, and sends a text.
func (p *pipes) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	server, client := net.Pipe()
	p.dialed <- server
	if _, err := io.WriteString(client, text); err != nil {
		t.Errorf("sending: %v", err)
	}
	return client
}

// Clients that say nothing, or take no answer, held their connections for half a minute
// each: others get in after some seconds.
func TestSlowClients(t *testing.T) {
	const request = "GET /v1/status HTTP/1.1\r\nHost: keepcast\r\n\r\n"
	for name, tt := range map[string]struct {
		sends string
		reads bool
		after time.Duration
	}{
		"say nothing":     {"", true, 2 * time.Second},
		"stop in between": {request[:20], true, 2 * time.Second},
		"take no answer":  {request, false, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				socket, web := newPipes(), newPipes()
				stop, ended := serving(&Server{Engine: &fakeEngine{}, Socket: socket, OpenWeb: opens(web)})
				for range webConnections {
					conn := web.dial(t, tt.sends)
					defer conn.Close()
					if tt.reads {
						go func() { _, _ = io.Copy(io.Discard, conn) }() // until it is cut off
					}
				}
				begun := time.Now()
				if code, _, err := web.ask("/v1/status"); code != 200 || err != nil {
					t.Errorf("the next one: %d, %v", code, err)
				}
				if took := time.Since(begun); took != tt.after {
					t.Errorf("the next one got in after %s, want %s", took, tt.after)
				}
				stop()
				<-ended
			})
		})
	}
}

// A header of any length was read into memory.
func TestLongHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, web := newPipes(), newPipes()
		stop, ended := serving(&Server{Engine: &fakeEngine{}, Socket: socket, OpenWeb: opens(web)})
		for _, p := range []*pipes{socket, web} {
			server, client := net.Pipe()
			p.dialed <- server
			go func() {
				// It is cut off somewhere in between.
				_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: keepcast\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
			}()
			resp, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("got %s", resp.Status)
			}
			client.Close()
		}
		stop()
		<-ended
	})
}

// A connection has one request, so that many in it are not many answers.
func TestOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, web := newPipes(), newPipes()
		stop, ended := serving(&Server{Engine: &fakeEngine{}, Socket: socket, OpenWeb: opens(web)})
		for _, p := range []*pipes{socket, web} {
			client := p.dial(t, strings.Repeat("GET /healthz HTTP/1.1\r\nHost: keepcast\r\n\r\n", 20))
			got, err := io.ReadAll(client)
			if n := strings.Count(string(got), "HTTP/1.1 200 OK"); n != 1 || err != nil {
				t.Errorf("%d answers, %v", n, err)
			}
			client.Close()
		}
		stop()
		<-ended
	})
}

// Clients that ordered a reload while reading the configuration hung had all connections of
// the control socket for as long as that lasted, also those that had gone: nobody could drain
// the host. Who has gone makes room.
func TestReloadsOfThoseWhoHaveGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, begun := newPipes(), 0
		hangs := func(ctx context.Context) error {
			begun++
			<-ctx.Done()
			return ctx.Err()
		}
		stop, ended := serving(&Server{Engine: &fakeEngine{}, Socket: socket, Reload: hangs})
		var waiting []net.Conn
		for range socketConnections {
			waiting = append(waiting, socket.dial(t, "POST /v1/reload HTTP/1.1\r\nHost: keepcast\r\nContent-Length: 2\r\n\r\n{}"))
			synctest.Wait() // so that one counts at a time
		}
		for _, conn := range waiting {
			conn.Close()
		}
		begin := time.Now()
		if code, err := socket.askStatus(); code != http.StatusOK || err != nil {
			t.Errorf("the next one: %d, %v", code, err)
		}
		if took := time.Since(begin); took != 0 || begun != socketConnections {
			t.Errorf("the next one got in after %s, behind %d reloads", took, begun)
		}
		stop()
		<-ended
	})
}
