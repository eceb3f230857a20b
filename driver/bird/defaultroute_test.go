package bird

import (
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A default route could not be gated: it was refused as "0.0.0.1/0".
func TestRealDefaultRoute(t *testing.T) {
	r := newRealBIRD(t).host("")
	b := testDriver(r.Dir)
	t.Cleanup(func() { b.Close() })
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	r.start()
	four, six := prefixRoute("0.0.0.0/0", driver.Announced), prefixRoute("::/0", driver.Announced)
	applyRoutes(t, b, four, six)
	observes(t, b, "0.0.0.0/0", "::/0")
	four.Presence = driver.Absent
	applyRoutes(t, b, four, six)
	observes(t, b, "::/0")
	applyRoutes(t, b)
	observes(t, b)
}
