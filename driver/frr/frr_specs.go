package frr

import "github.com/keepcast/keepcast/driver"

// frrSpecs is the table of the daemons of FRR.
func frrSpecs() []spec { //nolint:funlen // a table
	type finder = func(exam) []driver.Finding
	all := []finder{exam.frrVersion, exam.redistributed, exam.ungated}
	return []spec{
		{
			name: "bgpd", ipv4: true, ipv6: true, client: "bgp",
			router: "bgp", effects: []effect{delayedRouteMaps()}, prepare: spare,
			state: "show bgp summary json", neighbors: "show bgp neighbors json", bgp: frrBGP(),
			gate: networkGate, losses: networkLosses, routerID: "bgp router-id",
			exams: append(all, exam.delayTimer), vrfExams: []finder{exam.ownRouterID, exam.frrPeers},
		},
		{
			name: "ospfd", ipv4: true, client: "ospf",
			router: "ospf", redistribute: "redistribute SOURCE route-map GATE", effects: []effect{enteredAgain()},
			state: "show ip ospf json", originated: "show ip ospf database external self-originate json", neighbors: "show ip ospf neighbor json",
			readOriginated: ospfOriginates, readNeighbors: ospfNeighbors, neighborFix: ospfFix,
			hold: hold{deadInterval, false, ospfDead, "show ip ospf interface json", ospfHolds},
			gate: redistributionGate, losses: metricLosses, routerID: "ospf router-id",
			bfd:      "ip ospf bfd",
			throttle: "router ospf\n timers throttle lsa all 0\n timers throttle spf 0 50 500\n timers lsa min-arrival 0",
			exams:    all, vrfExams: []finder{exam.ownRouterID, exam.frrThrottle, exam.noBFD},
		},
		{
			name: "ospf6d", ipv6: true, client: "ospf6", deaf: true,
			router: "ospf6", redistribute: "redistribute SOURCE route-map GATE", effects: []effect{prefixesAlone()},
			state: "show ipv6 ospf6 json", originated: "show ipv6 ospf6 database as-external self-originated json", neighbors: "show ipv6 ospf6 neighbor json",
			readOriginated: ospf6Originates, readNeighbors: ospf6Neighbors,
			hold:        hold{deadInterval, false, ospfDead, "show ipv6 ospf6 interface json", ospf6Holds},
			neighborFix: "check 'ipv6 ospf6 area' on the interface towards the router, its hello and dead intervals, and that multicast to ff02::5 passes",
			gate:        redistributionGate, losses: metricLosses, routerID: "ospf6 router-id",
			bfd:      "ipv6 ospf6 bfd",
			throttle: "router ospf6\n timers throttle spf 0 50 500\n timers lsa min-arrival 0",
			exams:    all, vrfExams: []finder{exam.ownRouterID, exam.frrThrottle, exam.noBFD},
		},
		{
			name: "isisd", ipv4: true, ipv6: true, client: "isis",
			router: "isis", instance: "NAME", redistribute: "redistribute FAMILY SOURCE level-2 route-map GATE", effects: []effect{takenOutAndIn()},
			// Both as text: the JSON of FRR 8.4 repeats keys, so that prefixes and all but one
			// neighbor of an interface get lost.
			originated: "show isis database detail", neighbors: "show isis neighbor detail",
			readOriginated: isisOriginates, readNeighbors: isisNeighbors, neighborFix: isisFix,
			hold: hold{holdTime, false, isisHold, "show isis interface detail", isisHolds},
			gate: redistributionGate, losses: metricLosses,
			bfd:   "isis bfd",
			exams: all, vrfExams: []finder{exam.lspInterval, exam.noBFD},
		},
		{
			name: "ripd", ipv4: true, mgmtd: true, client: "rip",
			router: "rip", redistribute: "redistribute SOURCE route-map GATE", effects: []effect{prefixesAlone()},
			originated: "show ip rip", neighbors: "show ip rip status", readOriginated: ripOriginates, readNeighbors: ripNeighbors,
			hold:        hold{ripTimedOut, true, ripHold, "", ripHolds},
			neighborFix: "check 'network IFACE' under 'router rip', and that UDP port 520 passes (a router that only listens is not seen)",
			gate:        redistributionGate, losses: metricLosses, exams: all,
		},
		{
			name: "ripngd", ipv6: true, mgmtd: true, blind: true, client: "ripng",
			router: "ripng", redistribute: "redistribute SOURCE route-map GATE", effects: []effect{prefixesAlone()},
			originated: "show ipv6 ripng", neighbors: "show ipv6 ripng status", readOriginated: ripngOriginates, readNeighbors: ripngNeighbors,
			hold:        hold{ripTimedOut, true, ripHold, "", ripHolds},
			neighborFix: "check 'network IFACE' under 'router ripng', and that UDP port 521 passes (a router that only listens is not seen)",
			gate:        redistributionGate, losses: metricLosses, exams: all,
		},
		{
			// Nothing makes babeld look at a changed list. It never retracts what it has sent;
			// the neighbors find out by their own timers.
			name: "babeld", ipv4: true, ipv6: true, filters: true, client: "babel", deaf: true,
			router: "babel", redistribute: "redistribute FAMILY SOURCE",
			originated: "show babel route", neighbors: "show babel neighbor", readOriginated: babelOriginates, readNeighbors: babelNeighbors,
			hold:        hold{babelExpiry, true, babelHold, "show babel interface", babelHolds},
			neighborFix: "check 'network IFACE' under 'router babel', and that UDP port 6696 passes",
			gate:        redistributionGate, losses: metricLosses, exams: all,
		},
	}
}

// What to do without a neighbor, in FRR as in Quagga.
const (
	ospfFix = "check 'ip ospf area' on the interface towards the router, its hello and dead intervals, and that multicast to 224.0.0.5 passes"
	isisFix = "check 'ip router isis NAME' on the interface towards the router, and level and area of both"
)
