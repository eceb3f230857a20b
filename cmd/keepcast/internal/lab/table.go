package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func (n *Node) table() string { return filepath.Join(n.dir, "table.conf") }

// SetTable has the router, if it is BIRD and speaks BGP, send n routes to host a,
// /32s of 10.128.0.0/9, and returns once a, which
// must have BIRD too, has all of them and no others.
func (r *Router) SetTable(ctx context.Context, n int) error {
	var text bytes.Buffer
	text.WriteString("protocol static full {\n  ipv4;\n")
	for i := range n {
		fmt.Fprintf(&text, "  route 10.%d.%d.%d/32 blackhole;\n", 128+i>>16, i>>8&255, i&255)
	}
	text.WriteString("}\n")
	if err := os.WriteFile(r.table(), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if out, err := r.Birdc(ctx, "configure"); err != nil || !strings.Contains(out, "Reconfigur") {
		return fmt.Errorf("table of %s: %w: %s", r.name, errOr(err, "bird refuses it"), strings.TrimSpace(out))
	}
	return Until(ctx, fmt.Sprintf("%d routes on a", n), func(ctx context.Context) error {
		out, err := r.lab.Host("a").Birdc(ctx, "show", "route", "count", "protocol", "router4")
		if err == nil && !strings.Contains(out, fmt.Sprintf("\n%d of ", n)) {
			err = fmt.Errorf("a has %s", strings.TrimSpace(out))
		}
		return err
	})
}
