package frr

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// neighbor is a neighbor, and what an operator can do about one that is down.
type neighbor struct {
	driver.Neighbor
	iface string // of an adjacency
	shut  bool   // the operator took it down
	fix   string
}

// neighborsDown returns a finding for each neighbor that is down. It is the worse
// if none is left to announce to.
func neighborsDown(daemon string, neighbors []neighbor) []driver.Finding {
	level := driver.LevelError
	if slices.ContainsFunc(neighbors, func(n neighbor) bool { return n.Up }) {
		level = driver.LevelWarning
	}
	var out []driver.Finding
	for _, n := range neighbors {
		if n.Up {
			continue
		}
		found := driver.Finding{Name: "session-down", Level: level, Subject: daemon + " neighbor " + n.Name, Text: "is down: " + n.Detail, Fix: n.fix}
		if n.shut {
			found.Level = driver.LevelInfo
		}
		out = append(out, found)
	}
	return out
}

// ospfNeighbors reads `show ip ospf neighbor json`.
func ospfNeighbors(text string) []neighbor {
	var out []neighbor
	eachObject(text, func(o map[string]any) {
		// The objects hang in lists under the router id, which is no part of them.
		for id, v := range o {
			list, _ := v.([]any)
			for _, item := range list {
				n, _ := item.(map[string]any)
				iface, _ := n["ifaceName"].(string)
				state, _ := n["nbrState"].(string)
				if state == "" {
					state, _ = n["state"].(string)
				}
				iface, _, _ = strings.Cut(iface, ":")
				out = append(out, ospfNeighbor("ospf", id, iface, state)...)
			}
		}
	})
	for i := range out {
		out[i].IPv4 = true
	}
	return byName(out)
}

// ospf6Neighbors reads `show ipv6 ospf6 neighbor json`.
func ospf6Neighbors(text string) []neighbor {
	var out []neighbor
	eachObject(text, func(n map[string]any) {
		id, _ := n["neighborId"].(string)
		iface, _ := n["interfaceName"].(string)
		state, _ := n["state"].(string)
		out = append(out, ospfNeighbor("ospf6", id, iface, state)...)
	})
	for i := range out {
		out[i].IPv6 = true
	}
	return byName(out)
}

// ospfNeighbor returns one neighbor of OSPF, none for what is not one. Two
// routers of a LAN of which neither is designated stay in 2-Way: they are sent
// everything by way of the designated router (RFC 2328, 10.4).
func ospfNeighbor(kind, id, iface, state string) []neighbor {
	short, _, _ := strings.Cut(state, "/")
	if id == "" || iface == "" || short == "" || short == "2-Way" || short == "Twoway" {
		return nil
	}
	n := neighbor{Neighbor: driver.Neighbor{Name: kind + " " + id + " on " + iface, Protocol: "ospf", Up: short == "Full"}, iface: iface}
	if n.Up {
		return []neighbor{n}
	}
	n.Detail = "the adjacency is in state " + short
	switch short {
	case "Init":
		n.Detail += ": its hellos arrive here, but ours not there"
		n.fix = "check that multicast passes in both directions, and the neighbor's own log"
	case "ExStart", "Exchange", "Loading":
		n.fix = "if it stays so: the MTU of " + iface + " differs between the two ('ip ospf mtu-ignore', or the same MTU)"
	default:
		n.fix = "check the link " + iface + " and the neighbor"
	}
	return []neighbor{n}
}

// isisNeighbors reads `show isis neighbor detail`: a line with the name, which FRR
// indents by one space and Quagga by two, then deeper ones. A neighbor has an adjacency
// for each level.
func isisNeighbors(text string) []neighbor {
	var out []neighbor
	name := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "   "):
			name = strings.TrimSpace(line)
		case len(words) >= 2 && words[0] == "Interface:" && name != "":
			out = append(out, isisNeighbor(name, isisValue(line, "Interface"), isisValue(line, "State")))
		case len(words) > 0 && strings.Contains(line, "Speaks: ") && len(out) > 0:
			_, speaks, _ := strings.Cut(line, "Speaks: ")
			families := strings.FieldsFunc(speaks, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
			last := &out[len(out)-1]
			last.IPv4, last.IPv6 = slices.Contains(families, "IPv4"), slices.Contains(families, "IPv6")
		}
	}
	return byName(out)
}

func isisNeighbor(name, iface, state string) neighbor {
	n := neighbor{Neighbor: driver.Neighbor{Name: "isis " + name + " on " + iface, Protocol: "isis", Up: state == "Up"}, iface: iface}
	if !n.Up {
		// An adjacency that is not up has not told its families yet.
		n.IPv4, n.IPv6 = true, true
		n.Detail = "the adjacency is in state " + state
		n.fix = "check the link " + iface + ", and level, area and authentication of both sides"
	}
	return n
}

// isisValue returns what follows "key: " up to a comma.
func isisValue(line, key string) string {
	_, rest, _ := strings.Cut(line, key+": ")
	value, _, _ := strings.Cut(rest, ",")
	return strings.TrimSpace(value)
}

// ripNeighbors reads the sources of information in `show ip rip status`. RIP has no
// sessions: a neighbor is one whose updates have been heard.
func ripNeighbors(text string) []neighbor {
	out := ripSources("rip", text)
	for i := range out {
		out[i].IPv4 = true
	}
	return out
}

// ripngNeighbors reads `show ipv6 ripng status`.
func ripngNeighbors(text string) []neighbor {
	out := ripSources("ripng", text)
	for i := range out {
		out[i].IPv6 = true
	}
	return out
}

// ripSources reads rows of gateway, bad packets, bad routes, distance and last
// update. RIPng breaks the row after the gateway.
func ripSources(kind, text string) []neighbor {
	_, table, found := strings.Cut(text, "Last Update")
	if !found {
		return nil
	}
	table, _, _ = strings.Cut(table, "Distance: ")
	timeout := ripTimeout(text)
	var out []neighbor
	for row := range slices.Chunk(strings.Fields(table), 5) {
		if len(row) < 5 {
			break
		}
		silent, known := clock(row[4])
		n := neighbor{Neighbor: driver.Neighbor{Name: kind + " " + row[0], Protocol: "rip", Up: known && time.Duration(silent)*time.Second <= timeout}}
		if !n.Up {
			n.Detail = "no update of it since " + row[4]
			n.fix = "check the link to it, and that it still speaks RIP"
		}
		out = append(out, n)
	}
	return byName(out)
}

// ripTimeout returns how long after its last update a neighbor is gone.
func ripTimeout(text string) time.Duration {
	_, rest, _ := strings.Cut(text, "Timeout after ")
	number, _, _ := strings.Cut(rest, " ")
	seconds, err := strconv.Atoi(number)
	if err != nil {
		return ripHold
	}
	return time.Duration(seconds) * time.Second
}

// clock reads hh:mm:ss as seconds. FRR writes times of a day or more otherwise.
func clock(text string) (seconds int, ok bool) {
	parts := strings.Split(text, ":")
	for _, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			return 0, false
		}
		seconds = 60*seconds + n
	}
	return seconds, len(parts) == 3
}

// babelNeighbors reads `show babel neighbor`: "Neighbour ADDRESS dev IFACE reach
// ffff rxcost 256 txcost 256 rtt 0.000 rttcost 0.", with " (down)" if the interface is.
func babelNeighbors(text string) []neighbor {
	var out []neighbor
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 10 || words[0] != "Neighbour" || words[2] != "dev" {
			continue
		}
		// 65535 is an infinite cost: it is not heard, or does not hear us (RFC 8966, 3.4.3).
		heard := words[4] == "reach" && words[5] != "0000" && words[7] != "65535" && words[9] != "65535"
		n := neighbor{Neighbor: driver.Neighbor{
			Name: "babel " + words[1] + " on " + words[3], Protocol: "babel", IPv4: true, IPv6: true,
			Up: heard && !strings.Contains(line, "(down)"),
		}, iface: words[3]}
		if !n.Up {
			n.Detail = strings.Join(words[4:], " ")
			n.fix = "check the link " + words[3] + " and the neighbor"
		}
		out = append(out, n)
	}
	return byName(out)
}

// byName sorts neighbors and makes one of those of one name: it is up if one of
// its adjacencies is, and takes what any of them does.
func byName(all []neighbor) []neighbor {
	one := map[string]neighbor{}
	for _, n := range all {
		was, twice := one[n.Name]
		if twice && was.Up && !n.Up {
			continue
		}
		if twice && was.Up == n.Up {
			n.IPv4, n.IPv6 = n.IPv4 || was.IPv4, n.IPv6 || was.IPv6
		}
		one[n.Name] = n
	}
	out := make([]neighbor, 0, len(one))
	for _, name := range slices.Sorted(maps.Keys(one)) {
		out = append(out, one[name])
	}
	return out
}
