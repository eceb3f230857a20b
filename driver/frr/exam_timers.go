package frr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// bfdlessHold is how long a dead neighbor may go unnoticed before the lack of BFD is
// worth a word.
const bfdlessHold = 10 * time.Second

// frrPeers says what makes the neighbors of bgpd learn late.
func (e exam) frrPeers() []driver.Finding {
	var out []driver.Finding
	running := parseRunning(e.running)
	bgp := running.instance(e.vrf)
	stale := bgp.longLived
	for _, p := range e.spec.bgp.peers(e.neighbors, bgp) {
		add := func(finding, text, fix string) {
			out = append(out, driver.Finding{
				Name: finding, Level: driver.LevelWarning, Subject: e.spec.name + " neighbor " + p.name, Text: text,
				Fix: "router bgp " + p.localAS + "\n neighbor " + p.name + " " + fix,
			})
		}
		if p.interval > 0 {
			add("advertisement-interval", fmt.Sprintf("has an advertisement-interval of %d s: a second change has to wait for it", p.interval/time.Second), "advertisement-interval 0")
		}
		if lasts := p.restart.lasts(stale); lasts > 0 && !p.shut {
			add("bgp-graceful-restart", gracefulText(lasts, p.restart.parts(stale)),
				"graceful-restart-helper\n no bgp long-lived-graceful-restart stale-time\nthen 'clear bgp "+p.name+"': it goes on helping the neighbor, but no longer asks for it")
		}
		switch {
		case p.shut:
		case p.bfd == "" && p.hold > bfdlessHold:
			add("no-bfd", fmt.Sprintf("has no BFD: if this host or the link dies without a word, it notices after the hold time of %s", p.hold),
				"bfd\nand the same there, with bfdd=yes in /etc/frr/daemons; or 'timers 3 9'")
		case p.bfd != "" && p.up() && p.bfd != "Up":
			add("bfd-down", "has BFD, but its BFD session is "+strings.ToLower(p.bfd), "bfd\nalso there, UDP ports 3784 and 4784 open, and bfdd running on both")
		}
	}
	return out
}

// gracefulText says what a neighbor was asked for; parts are those that lasts adds up.
func gracefulText(lasts time.Duration, parts string) string {
	return fmt.Sprintf("is asked for graceful restart: when bgpd dies, it goes on sending to this host for up to %d s%s", lasts/time.Second, parts)
}

// frrThrottle says which timers of OSPF hold a quick second change back.
func (e exam) frrThrottle() []driver.Finding {
	var timers struct {
		LSA int `json:"lsaMinIntervalMsecs"` // ospfd only
		SPF int `json:"holdtimeMaxMsecs"`    // of ospf6d holdTimeMaxMsecs; encoding/json reads both
	}
	_ = json.Unmarshal([]byte(e.state), &timers) // without OSPF it is no JSON
	const quick = 500
	if timers.LSA <= quick && timers.SPF <= quick {
		return nil
	}
	return []driver.Finding{{
		Name: "ospf-throttle", Level: driver.LevelWarning, Subject: e.spec.name,
		Text: "has slow timers: a second change of a prefix within seconds waits, up to 9 s with those of FRR",
		Fix:  e.spec.throttle + "\nand the same on the routers",
	}}
}

// lspInterval says that isisd holds a second change back.
func (e exam) lspInterval() []driver.Finding {
	const preset = 30 // of FRR, in seconds
	worst, block, level2 := 0, "", false
	eachLine(e.running, func(blocks []string, line string) {
		words := strings.Fields(line)
		switch {
		case len(blocks) == 0 && strings.HasPrefix(line, "router isis "):
			block = line
		case line == "is-type level-2-only":
			level2 = true
		case len(blocks) != 1 || blocks[0] != block || level2 && slices.Contains(words, "level-1"):
		case words[0] == "lsp-timers":
			_, rest, _ := strings.Cut(line, "gen-interval ")
			worst = max(worst, firstNumber(rest))
		case words[0] == "lsp-gen-interval": // Quagga
			seconds, _ := strconv.Atoi(words[len(words)-1])
			worst = max(worst, seconds)
		}
	})
	if worst == 0 {
		worst = preset
	}
	if block == "" || worst <= 1 {
		return nil
	}
	return []driver.Finding{{
		Name: "isis-lsp-interval", Level: driver.LevelWarning, Subject: e.spec.name,
		Text: fmt.Sprintf("sends its LSP at most every %d s: a second change within that time waits for it", worst),
		Fix:  block + "\n lsp-gen-interval 1\n spf-interval 1\nand spf-interval 1 on the routers",
	}}
}

// noBFD says on which interfaces a dead neighbor is noticed late.
func (e exam) noBFD() []driver.Finding {
	line := e.spec.bfd
	hold := map[string]int{} // by interface, in seconds
	for _, n := range e.spec.readNeighbors(e.neighbors) {
		hold[n.iface] = int(e.spec.hold.preset / time.Second)
	}
	eachLine(e.running, func(blocks []string, text string) {
		if len(blocks) != 1 || !strings.HasPrefix(blocks[0], "interface ") {
			return
		}
		iface, words := strings.Fields(blocks[0])[1], strings.Fields(text)
		if _, speaks := hold[iface]; !speaks {
			return
		}
		if strings.HasPrefix(text, line) {
			delete(hold, iface)
		} else if slices.Contains(words, "dead-interval") {
			seconds, err := strconv.Atoi(words[len(words)-1])
			if err == nil {
				hold[iface] = seconds
			}
		}
	})
	var out []driver.Finding
	for _, iface := range slices.Sorted(maps.Keys(hold)) {
		if time.Duration(hold[iface])*time.Second <= bfdlessHold {
			continue
		}
		out = append(out, driver.Finding{
			Name: "no-bfd", Level: driver.LevelWarning, Subject: e.spec.name + " " + iface,
			Text: fmt.Sprintf("has no BFD: if this host or the link dies without a word, the router notices after %d s", hold[iface]),
			Fix:  "interface " + iface + "\n " + line + "\nand the same on the router, with bfdd=yes in /etc/frr/daemons",
		})
	}
	return out
}
