package driver

import "context"

// Starter tells keepcast init how a host that has the daemon of a kind is found, and
// what its configuration begins with. Paths are those of the host, without the root
// directory that it is looked for in.
type Starter struct {
	Title    string   // how people call the daemon: "BIRD"
	Sockets  []string // patterns of its control sockets
	Programs []string // one of them is there if it is installed
	// Begin returns what to begin with, for a daemon that listens at these of its
	// sockets, or does not run.
	Begin func(ctx context.Context, root string, listening []string) (Start, error)
}

// Start is what a configuration begins with.
type Start struct {
	Socket   string // that tells best that the daemon runs; "" if it does not
	Settings string // of the driver, as YAML with comments
	Lines    string // what goes into the daemon's own configuration, and how
}
