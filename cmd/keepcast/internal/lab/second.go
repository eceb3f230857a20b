package lab

// Second is the name of the second routing daemon of a host (Options.Second): of
// its processes, as in bird-second, and FRR's pathspace.
const Second = "second"

// SecondInterface carries the addresses that the second daemon announces.
const SecondInterface = "anycast1"

const (
	secondUplink = "eth1" // its own cable to the router
	secondNumber = 4      // of that cable, and in its router ID
	secondMark   = "2"    // after the host's name it names the daemon for the router: a2
)

// Second is the host with its second daemon: Birdc and Vtysh ask that one,
// Snippet is its snippet, AddAddress uses its interface.
func (h *Host) Second() *Host { return &Host{Node: h.Node, instance: Second} }

// Interface is the name of the interface whose addresses the daemon announces.
func (h *Host) Interface() string { return anycastInterface(h.instance) }

func anycastInterface(instance string) string {
	if instance == Second {
		return SecondInterface
	}
	return Interface
}

// instances are the names of the node's routing daemons.
func (n *Node) instances() []string {
	if n.lab.options.Second && n.name == "a" {
		return []string{"", Second}
	}
	return []string{""}
}

// suffixed is the name of a file or process of an instance.
func suffixed(name, instance string) string {
	if instance == "" {
		return name
	}
	return name + "-" + instance
}
