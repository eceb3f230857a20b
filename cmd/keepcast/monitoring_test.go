package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is shipped for Prometheus and Grafana, seen from this package.
const (
	alertRules = "../../packaging/prometheus/alerts.yaml"
	dashboard  = "../../packaging/grafana/dashboard.json"
)

// TestMonitoringNamesRealMetrics holds the alert rules and the dashboard to the
// metrics that there are, with the labels that they have.
func TestMonitoringNamesRealMetrics(t *testing.T) {
	reference := engine.MetricsReference()
	names := regexp.MustCompile(`keepcast_[a-z_]+`)
	for _, path := range []string{alertRules, dashboard} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(string(text), -1)
		for _, name := range found {
			if !strings.Contains(reference, "| `"+strings.TrimSuffix(name, "_bucket")+"` |") {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
		if len(found) < 5 {
			t.Errorf("%s names %d metrics only", path, len(found))
		}
	}
}

// TestDashboardQueries has promtool read every query of the dashboard.
func TestDashboardQueries(t *testing.T) {
	drivertest.Program(t, "promtool")
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	type rule struct{ Record, Expr string }
	variables := strings.NewReplacer("$__rate_interval", "5m")
	var rules []rule
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			rules = append(rules, rule{"panel:query", variables.Replace(target.Expr)})
		}
	}
	check := func(rules []rule) ([]byte, error) {
		file := filepath.Join(t.TempDir(), "rules.yaml")
		group := map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}
		text, err := yaml.Marshal(group)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command("promtool", "check", "rules", "--lint=none", file).CombinedOutput()
	}
	if out, err := check(rules); err != nil || len(rules) < len(d.Panels) {
		t.Errorf("%d queries of %d panels: %v\n%s", len(rules), len(d.Panels), err, out)
	}
	if out, err := check(append(rules, rule{"panel:query", "rate(keepcast_repairs_total[5m]"})); err == nil {
		t.Errorf("promtool accepts a broken query: %s", out)
	}
}
