package frr

import (
	"context"
	"math"
	"strings"
	"time"
)

// zebraName is the daemon that tells the others which addresses and routes the host has.
const zebraName = "zebra"

// zebraTimeout bounds a question to zebra. A gate must not wait long to be closed because
// zebra hangs: just then nothing but the gate withdraws.
const zebraTimeout = time.Second

// zebraClients asks zebra about the daemons that are connected to it.
const zebraClients = "show zebra client"

// zebraClient is what zebra says of a daemon that it tells of addresses and routes.
type zebraClient struct {
	connected bool
	routes    int           // that it was told of, as ones to redistribute
	since     time.Duration // its connection is so old
}

// clientsOf reads `show zebra client`, which has a block for each daemon that is connected,
// by name, and counts what was sent to it: "Redist:v4   3   0   0".
func clientsOf(text string) map[string]zebraClient {
	out := map[string]zebraClient{}
	name := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		words := strings.Fields(line)
		if key == "Client" {
			name = strings.TrimSpace(value)
		}
		if name == "" {
			continue
		}
		c := out[name]
		c.connected = true
		switch {
		case key == "Connect Time":
			seconds, ok := clock(strings.TrimSpace(value))
			c.since = time.Duration(seconds) * time.Second
			if !ok { // a day or more
				c.since = math.MaxInt64
			}
		case len(words) > 1 && strings.HasPrefix(words[0], "Redist:"):
			c.routes += firstNumber(words[1])
		}
		out[name] = c
	}
	return out
}

// askZebra asks zebra what it knows of the daemon.
func (d *daemon) askZebra(ctx context.Context, questions ...string) ([]string, error) {
	fresh, err := d.zebra.Open(ctx)
	if err != nil {
		return nil, err
	}
	if fresh {
		d.retold = false
	}
	return d.zebra.Ask(ctx, questions...)
}
