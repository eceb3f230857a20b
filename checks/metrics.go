package checks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

func init() {
	register(Kind{
		Name: "metrics",
		Doc: "Fetches the page of a Prometheus exporter, in the text format, and compares values with thresholds. A condition is a metric, with " +
			"matchers of its labels as in PromQL if need be, a comparison (`<`, `<=`, `>`, `>=`, `==`, `!=`) and a number. Every sample that the metric and the " +
			"matchers name has to meet it, and there has to be one; NaN meets none. Conditions are joined by `and` and `or`; `and` binds stronger. " +
			"Histograms and summaries are asked for as the page shows them: `_sum`, `_count`, `_bucket` with `le`, `quantile`. Nothing is computed from " +
			"two pages, so a counter tells little.",
		Example: "url: http://127.0.0.1:9153/metrics\nquery: 'queue_length{queue=~\"in|out\"} < 1000 and last_error == 0'\n",
		New:     func() Checker { return &Metrics{kept: new(kept)} },
		AtOnce:  stopsListening,
	})
}

// Metrics is fit when the values of an exporter meet a query.
type Metrics struct {
	URL     string            `config:"url" required:"true" doc:"Page to fetch, http or https. A user and password in it are sent as basic authentication. Neither the password nor the query of the URL is shown in errors. Up to 16 MiB are read."`
	Query   MetricsQuery      `config:"query" required:"true" doc:"Conditions that the values have to meet, as in 'queue_length{queue=\"in\"} < 1000 and up == 1'. Matchers are =, !=, =~ and !~; a regular expression has to match the whole label, and a label that is not there is empty."`
	Headers map[string]string `config:"headers" doc:"Request headers. 'host' replaces the name of the URL in the request, not in TLS."`
	Connect netip.AddrPort    `config:"connect" doc:"Address and port to connect to, instead of those of the URL; the request and TLS still name the host of the URL."`
	Reuse   bool              `config:"reuse" doc:"Keep the connection for the next run, as far as the server does. This costs both sides less, above all with TLS. After a failure, when the exporter stops listening on this host, and after a minute in any case, the next run makes a new one. Until then it is not seen what only a new connection shows: another address of a name, a certificate that has run out, a server that accepts nobody any more. Where a kept connection ends instead of bringing the answer, the request is sent again over a new one. One that stays silent, as behind a firewall that forgets it, takes the whole timeout and fails."`
	TLS     TLS               `config:"tls" doc:"How to speak TLS, for an https URL."`

	kept *kept // nil: it keeps none
}

const (
	maxMetrics    = 16 << 20 // how much of a page is read
	maxMetricLine = 1 << 20
)

// http is how the page is asked for.
func (m *Metrics) http() *HTTP {
	headers := map[string]string{"Accept": "text/plain;version=0.0.4"}
	maps.Copy(headers, m.Headers)
	return &HTTP{
		URL: m.URL, Method: http.MethodGet, Headers: headers, Connect: m.Connect, Reuse: m.Reuse, TLS: m.TLS, kept: m.kept,
		Codes: Codes{ranges: [][2]int{{http.StatusOK, http.StatusOK}}, text: "200"},
	}
}

// Validate implements Validator.
func (m *Metrics) Validate() error {
	for name := range m.Headers {
		if strings.EqualFold(name, "accept") {
			return errors.New("headers: accept is set by the check, which reads one format only")
		}
	}
	return m.http().Validate()
}

// Target implements Aimed.
func (m *Metrics) Target() netip.Addr { return m.http().Target() }

// Host implements Hosted.
func (m *Metrics) Host() func() ([]string, error) { return m.TLS.host() }

// Check implements Checker.
func (m *Metrics) Check(ctx context.Context) error {
	h := m.http()
	return m.kept.after(h.ask(ctx, func(ctx context.Context, resp *http.Response, req *http.Request) error {
		if err := h.judge(ctx, resp, req); err != nil {
			return err
		}
		found, err := m.Query.read(resp.Body, secrets(req))
		if err != nil {
			return fmt.Errorf("reading metrics: %w", explain(ctx, err))
		}
		found.seen(sight(ctx))
		return found.judge()
	}))
}

// metricSample is one line of a page.
type metricSample struct {
	series string // as it is written
	name   string
	labels []metricLabel
	value  float64
}

// parseMetricSample reads a line of the text format. A time stamp, and an exemplar of
// OpenMetrics, may follow the value.
func parseMetricSample(line string) (metricSample, error) {
	in := &metricScanner{text: line}
	s := metricSample{name: in.name()}
	if s.name == "" {
		return s, fmt.Errorf("expected the name of a metric, got %s", in.rest())
	}
	var err error
	if s.labels, err = in.labels([]string{`"`}, []string{"="}); err != nil {
		return s, err
	}
	s.series = strings.TrimSpace(line[:in.at])
	if s.value, err = in.number(); err != nil {
		return s, err
	}
	if in.take("#") != "" || in.at == len(line) {
		return s, nil
	}
	if _, err = in.number(); err != nil {
		return s, fmt.Errorf("the time stamp: %w", err)
	}
	if in.take("#") == "" && in.at < len(line) {
		return s, fmt.Errorf("expected the end, got %s", in.rest())
	}
	return s, nil
}

// metricTally is what became of a condition on a page.
type metricTally struct {
	*metricCondition
	samples, bad int
	first        string // of the bad ones
}

// metricTallies are those of a query: of one of the lists all have to be met.
type metricTallies [][]metricTally

// read reads a page and counts the samples that the conditions are about.
func (q MetricsQuery) read(page io.Reader, hide *strings.Replacer) (metricTallies, error) {
	found := make(metricTallies, len(q.any))
	for i, all := range q.any {
		for _, c := range all {
			found[i] = append(found[i], metricTally{metricCondition: c})
		}
	}
	limited := &io.LimitedReader{R: page, N: maxMetrics + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxMetricLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		sample, err := parseMetricSample(line)
		if err != nil && limited.N > 0 && lines.Err() == nil { // else the line may be cut
			return nil, fmt.Errorf("line %d is no sample: %s", n, hide.Replace(err.Error()))
		}
		found.add(sample, hide)
	}
	switch {
	case limited.N == 0:
		return nil, fmt.Errorf("the page is longer than %d MiB", maxMetrics>>20)
	case errors.Is(lines.Err(), bufio.ErrTooLong):
		return nil, fmt.Errorf("a line is longer than %d MiB", maxMetricLine>>20)
	}
	return found, lines.Err()
}

// add counts a sample.
func (f metricTallies) add(sample metricSample, hide *strings.Replacer) {
	for _, all := range f {
		for i := range all {
			t := &all[i]
			if !t.selects(sample) {
				continue
			}
			t.samples++
			if t.met(sample.value) {
				continue
			}
			if t.bad++; t.bad == 1 {
				t.first = hide.Replace(fmt.Sprintf("%s is %s", sample.series, strconv.FormatFloat(sample.value, 'g', -1, 64)))
			}
		}
	}
}

// judge says why the query is not met.
func (f metricTallies) judge() error {
	var whys []string
	for _, all := range f {
		var why string
		for _, t := range all {
			if why = t.fault(); why != "" {
				whys = append(whys, why)
				break
			}
		}
		if why == "" {
			return nil
		}
	}
	return errors.New(strings.Join(whys, "; "))
}

// fault says why a condition is not met; "" if it is.
func (t metricTally) fault() string {
	switch {
	case t.samples == 0:
		return "no sample of " + t.selector
	case t.bad == 0:
		return ""
	case t.samples == 1:
		return fmt.Sprintf("%s, expected %s", t.first, t.wanted())
	}
	return fmt.Sprintf("%s, expected %s (%d of %d samples are not)", t.first, t.wanted(), t.bad, t.samples)
}

func (f metricTallies) seen(s *Sight) {
	if s == nil {
		return
	}
	for _, all := range f {
		for _, t := range all {
			s.saw("condition", "%s %s: met by %d of %d samples", t.selector, t.wanted(), t.samples-t.bad, t.samples)
		}
	}
}
