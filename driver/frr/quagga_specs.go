package frr

import "github.com/keepcast/keepcast/driver"

// quaggaSpecs is the table of the daemons of Quagga. The address is the gate in all of
// them.
func quaggaSpecs() []spec {
	type finder = func(exam) []driver.Finding
	always := func(degrades bool) func(config, driver.Route) bool {
		return func(config, driver.Route) bool { return degrades }
	}
	return []spec{
		{
			name: "bgpd", ipv4: true, ipv6: true,
			router: "bgp", redistribute: "redistribute SOURCE route-map GATE",
			effects: []effect{redistributedAnew(), sentAgain()}, client: "bgp",
			state: "show ip bgp summary", neighbors: "show ip bgp neighbors", bgp: quaggaBGP(),
			gate: quaggaGate, losses: quaggaBGPLosses, degrades: quaggaDegrades, routerID: "bgp router-id",
			exams: []finder{exam.quaggaVersion, exam.ungated}, vrfExams: []finder{exam.ownRouterID, exam.redistributed, exam.quaggaPeers},
		},
		{
			name: "ospfd", ipv4: true,
			router: "ospf", redistribute: "redistribute SOURCE route-map GATE",
			effects: []effect{redistributedAgain()}, client: "ospf",
			state: "show ip ospf", originated: "show ip ospf database external self-originate", neighbors: "show ip ospf neighbor",
			readOriginated: quaggaOSPF, readNeighbors: quaggaOSPFNeighbors, neighborFix: ospfFix,
			hold: hold{deadInterval, false, ospfDead, "show ip ospf interface", quaggaOSPFHolds},
			gate: quaggaGate, degrades: always(true), routerID: "ospf router-id",
			exams: []finder{exam.quaggaVersion, exam.ungated}, vrfExams: []finder{exam.ownRouterID, exam.redistributed, exam.quaggaThrottle},
		},
		{
			name: "isisd", ipv4: true, ipv6: true, interfaceGate: true, router: "isis", instance: "NAME", client: "isis",
			interfaces: "show isis interface detail", readInterfaces: quaggaISISAddresses,
			state: "show isis summary", originated: "show isis database detail", neighbors: "show isis neighbor detail",
			readOriginated: quaggaISIS, readNeighbors: isisNeighbors, neighborFix: isisFix,
			hold: hold{holdTime, false, isisHold, "show isis interface detail", isisHolds},
			gate: quaggaInterfaceGate, losses: quaggaMetricLosses, degrades: always(false),
			exams: []finder{exam.quaggaVersion}, vrfExams: []finder{exam.lspInterval, exam.quaggaISIS},
		},
	}
}
