package checks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// queryOf reads a query.
func queryOf(t *testing.T, text string) MetricsQuery {
	t.Helper()
	var q MetricsQuery
	if err := q.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return q
}

const metricsPage = `# HELP queue Requests that wait.
# TYPE queue gauge
queue{side="in",worker="1"} 3
queue{side="in",worker="2"} 7 1700000000000
queue{side="out",worker="1",} 0

# TYPE seconds histogram
seconds_bucket{le="0.1"} 8
seconds_bucket{le="+Inf"} 10
seconds_sum 1.5
seconds_count 10
seconds{quantile="0.99"} 2e-1
lost NaN
endless +Inf
	spaced	{ a = "b" } 	-1	5
escaped{path="C:\\a\n\"b\""} 1
traced 4 5.5 # {trace_id="a"} 1
examined 4 # {trace_id="a"} 1
`

func TestMetrics(t *testing.T) {
	noLeaks(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			if got := r.Header.Get("Accept"); got != "text/plain;version=0.0.4" {
				http.Error(w, "accepts "+got, http.StatusNotAcceptable)
				return
			}
			io.WriteString(w, metricsPage)
		case "/headers":
			io.WriteString(w, "is{a=\""+r.Header.Get("X-A")+"\"} 1\n")
		case "/secret":
			io.WriteString(w, "is{a=\""+r.FormValue("token")+"\"} 1\nbad "+r.FormValue("token"))
		case "/html":
			io.WriteString(w, "<html>\n")
		case "/longer":
			io.WriteString(w, "a 1\n"+strings.Repeat("# comment\n", maxMetrics/10)+"a 1\n")
		case "/longest":
			io.WriteString(w, "a 1\n"+strings.Repeat("#", (maxMetrics-4)%10)+strings.Repeat("# comment\n", (maxMetrics-4)/10))
		case "/line":
			io.WriteString(w, "a 1\n"+strings.Repeat("#", maxMetricLine+1))
		case "/empty":
		default:
			website(w, r)
		}
	}))
	t.Cleanup(s.Close)
	at := s.Listener.Addr().String()
	for name, tt := range map[string]struct {
		path, query string
		headers     map[string]string
		err         string // after GET and the URL
	}{
		"less":             {query: "queue < 8"},
		"not less":         {query: "queue < 7", err: `queue{side="in",worker="2"} is 7, expected < 7 (1 of 3 samples are not)`},
		"two not":          {query: "queue < 3", err: `queue{side="in",worker="1"} is 3, expected < 3 (2 of 3 samples are not)`},
		"at most":          {query: "queue <= 7"},
		"more":             {query: "seconds_count > 9"},
		"not more":         {query: "seconds_count > 10", err: "seconds_count is 10, expected > 10"},
		"at least":         {query: "seconds_count >= 10"},
		"not at least":     {query: "seconds_count >= 10.5", err: "seconds_count is 10, expected >= 10.5"},
		"equal":            {query: "seconds_count == 1e1"},
		"not equal":        {query: "seconds_sum == 1", err: "seconds_sum is 1.5, expected == 1"},
		"other":            {query: "seconds_sum != 1"},
		"not other":        {query: "seconds_sum != 1.5", err: "seconds_sum is 1.5, expected != 1.5"},
		"NaN":              {query: "lost != 1", err: "lost is NaN, expected != 1"},
		"infinite":         {query: "endless == +Inf"},
		"label":            {query: `queue{side="out"} == 0`},
		"two labels":       {query: `queue{side='in', worker="2",} == 7`},
		"not label":        {query: `queue{side!="in"} == 0`},
		"expression":       {query: `queue{side=~"o.t"} == 0`},
		"whole expression": {query: `queue{side=~"o|u"} == 0`, err: `no sample of queue{side=~"o|u"}`},
		"its end":          {query: `queue{side=~"ut"} == 0`, err: `no sample of queue{side=~"ut"}`},
		"not expression":   {query: `queue{side!~"i."} == 0`},
		"no such label":    {query: `queue{none=""} < 8`},
		"label that is":    {query: `queue{side=""} < 8`, err: `no sample of queue{side=""}`},
		"bucket":           {query: `seconds_bucket{le="+Inf"} == 10`},
		"quantile":         {query: `seconds{quantile="0.99"} < 0.5`},
		"spaced":           {query: "\n spaced{a=\"b\"}\n==\n-1 \n"},
		"escaped":          {query: `escaped{path="C:\\a\n\"b\""} == 1`},
		"escapes of RE":    {query: `escaped{path=~'C:.a\sWb.|C:\Wa\n\Wb\W'} == 1`},
		"exemplar":         {query: "examined == 4 and traced == 4"},
		"none":             {query: "nothing < 1", err: "no sample of nothing"},
		"both":             {query: "queue < 8 and seconds_sum < 2"},
		"the second not":   {query: "queue < 8 and seconds_sum > 2", err: "seconds_sum is 1.5, expected > 2"},
		"the first not":    {query: "queue > 8 and seconds_sum < 2", err: `queue{side="in",worker="1"} is 3, expected > 8 (3 of 3 samples are not)`},
		"one of two":       {query: "nothing == 1 or seconds_sum < 2"},
		"none of two":      {query: "nothing == 1 or seconds_sum > 2", err: "no sample of nothing; seconds_sum is 1.5, expected > 2"},
		"and binds":        {query: "seconds_sum < 2 or nothing == 1 and nothing == 2"},
		"and binds first":  {query: "nothing == 1 and nothing == 2 or seconds_sum < 2 and seconds_count == 10"},
		"empty":            {path: "/empty", query: "up == 1", err: "no sample of up"},
		"html":             {path: "/html", query: "up == 1", err: `reading metrics: line 1 is no sample: expected the name of a metric, got "<html>"`},
		"not there":        {path: "/down", query: "up == 1", err: `got 503 Service Unavailable, expected 200: "database is gone"`},
		"redirect":         {path: "/moved", query: "up == 1", err: `got 301 Moved Permanently, expected 200 (to /proto): "<a href=\"/proto\">Moved Permanently</a>."`},
		"half":             {path: "/broken", query: "half == 1", err: "reading metrics: closed by the other side"},
		"stalls":           {path: "/stalls", query: "half == 1", err: "reading metrics: timed out"},
		"silent":           {path: "/silent", query: "half == 1", err: "timed out"},
		"longest":          {path: "/longest", query: "a == 1"},
		"longer":           {path: "/longer", query: "a == 1", err: "reading metrics: the page is longer than 16 MiB"},
		"line":             {path: "/line", query: "a == 1", err: "reading metrics: a line is longer than 1 MiB"},
		"headers":          {path: "/headers", query: `is{a=""} == 0`, headers: map[string]string{"x-a": "geheim"}, err: `no sample of is{a=""}`},
		"secret header":    {path: "/headers", query: `is == 0`, headers: map[string]string{"x-a": "geheim"}, err: `is{a="xxxxx"} is 1, expected == 0`},
		"secret":           {path: "/secret?token=geheim", query: `is == 0`, err: `reading metrics: line 2 is no sample: expected a number, got "xxxxx"`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.path == "" {
				tt.path = "/metrics"
			}
			c := &Metrics{URL: "http://" + at + tt.path, Query: queryOf(t, tt.query), Headers: tt.headers}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = shortly(t)
			}
			if tt.err != "" {
				tt.err = "GET http://ADDR" + strings.Replace(tt.path, "token=geheim", "...", 1) + ": " + tt.err
			}
			sameError(t, c.Check(ctx), tt.err, at)
		})
	}
	t.Run("sees", func(t *testing.T) {
		var sight Sight
		c := &Metrics{URL: "http://" + at + "/headers", Query: queryOf(t, `is{a=""} < 2 and none == 0`)}
		sameError(t, c.Check(WithSight(within(t), &sight)), "GET http://ADDR/headers: no sample of none", at)
		sameSight(t, &sight, "request: GET http://"+at+"/headers", "response: HTTP/1.1 200 OK", "header: content-type: text/plain; charset=utf-8",
			"header: content-length: 11", `condition: is{a=""} < 2: met by 1 of 1 samples`, "condition: none == 0: met by 0 of 0 samples", `body: 11 bytes: "is{a=\"\"} 1"`)
	})
}

func TestMetricsTLS(t *testing.T) {
	noLeaks(t)
	s, ca := secureServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "up 1\n") }), nil)
	t.Cleanup(s.Client().CloseIdleConnections)
	at := s.Listener.Addr().String()
	c := &Metrics{URL: "https://" + at, Query: queryOf(t, "up == 1"), TLS: TLS{CA: ca}}
	sameError(t, c.Check(within(t)), "", at)
	if c.Target() != addr("127.0.0.1") || c.Host() == nil {
		t.Error("no target or no host")
	}
	closed := freeAddress(t)
	c = &Metrics{URL: "http://" + closed + "/metrics", Query: queryOf(t, "up == 1")}
	sameError(t, c.Check(within(t)), "GET http://ADDR/metrics: dial tcp ADDR: connect: connection refused", closed)
}

func TestMetricsQueryFaults(t *testing.T) {
	const comparison = "expected one of < <= > >= == !=, got "
	for text, want := range map[string]string{
		"":                    "column 1: expected the name of a metric, got the end",
		"5 < 4":               `column 1: expected the name of a metric, got "5 < 4"`,
		"up":                  "column 3: " + comparison + "the end",
		"up = 1":              "column 4: " + comparison + `"= 1"`,
		"up == ":              "column 7: expected a number, got the end",
		"up == one":           `column 7: expected a number, got "one"`,
		"up == NaN":           "column 7: NaN can't be compared with",
		"up == 1)":            `column 7: expected a number, got "1)"`,
		"up == 1e999":         `column 7: expected a number, got "1e999"`,
		"up == 1 down == 1":   `column 9: expected 'and', 'or' or the end, got "down == 1"`,
		"up == 1 , a":         `column 9: expected 'and', 'or' or the end, got ", a"`,
		"up == 1 and":         "column 12: expected the name of a metric, got the end",
		"up == 1 or (a == 1)": `column 12: expected the name of a metric, got "(a == 1)"`,
		"up{":                 "column 4: expected the name of a label, got the end",
		"up{a}":               `column 5: expected =~ or !~ or != or =, got "}"`,
		"up{a=b}":             `column 6: expected a quoted value, got "b}"`,
		`up{a="b`:             "column 6: the quoted value has no end",
		`up{a="b\`:            "column 6: the quoted value has no end",
		`up{a="b" c="d"}`:     `column 10: expected ',' or '}', got "c=\"d\"}"`,
		`up{ä="b"}`:           `column 4: expected the name of a label, got "ä=\"b\"}"`,
		`up{a="ä", b=~"("}<1`: "column 18: the expression of b: error parsing regexp: missing closing ): `(`",
	} {
		sameError(t, new(MetricsQuery).UnmarshalText([]byte(text)), want, "")
	}
	if got, err := queryOf(t, "up == 1").MarshalText(); string(got) != "up == 1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMetricsValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		c   Metrics
		err string
	}{
		"good":   {Metrics{URL: "http://a/metrics"}, ""},
		"scheme": {Metrics{URL: "a/metrics"}, `url: "a/metrics" does not begin with http:// or https://`},
		"accept": {Metrics{URL: "http://a/", Headers: map[string]string{"ACCEPT": "a"}}, "headers: accept is set by the check, which reads one format only"},
		"tls":    {Metrics{URL: "http://a/", TLS: TLS{CA: "/a"}}, "tls: only for an https url"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.c.Validate(), tt.err, "") })
	}
}

func TestMetricsSampleFaults(t *testing.T) {
	for line, want := range map[string]string{
		`{a="b"} 1`:  `expected the name of a metric, got "{a=\"b\"} 1"`,
		`a`:          "expected a number, got the end",
		`a{b='c'} 1`: `expected a quoted value, got "'c'} 1"`,
		`a{b!="c"}`:  `expected =, got "!=\"c\"}"`,
		`a 1 b`:      `the time stamp: expected a number, got "b"`,
		`a 1 2 3`:    `expected the end, got "3"`,
	} {
		_, err := parseMetricSample(line)
		sameError(t, err, want, "")
	}
}

func FuzzMetricsQuery(f *testing.F) {
	for _, seed := range []string{"a < 1", `a{b="c",d=~"e.*"} >= -1e3 and f == +Inf or g != 0`, `a{b='\\\'\n'} <= 1`} {
		f.Add(seed, metricsPage)
	}
	f.Fuzz(func(t *testing.T, text, page string) {
		var q MetricsQuery
		if q.UnmarshalText([]byte(text)) != nil {
			return
		}
		found, err := q.read(strings.NewReader(page), strings.NewReplacer())
		if err != nil {
			return
		}
		for _, all := range found {
			for _, c := range all {
				if c.bad > c.samples || c.fault() == "" && c.samples == 0 {
					t.Errorf("%+v", c)
				}
			}
		}
		_ = found.judge()
	})
}

// FuzzMetricsPage compares with the library of Prometheus: what that takes, the check takes.
func FuzzMetricsPage(f *testing.F) {
	f.Add(metricsPage)
	f.Add("a 1\n")
	f.Fuzz(func(t *testing.T, page string) {
		families, err := func() (n int, err error) {
			parser := expfmt.NewTextParser(model.LegacyValidation)
			found, err := parser.TextToMetricFamilies(strings.NewReader(page))
			return len(found), err
		}()
		_, ours := queryOf(t, "a == 1").read(strings.NewReader(page), strings.NewReplacer())
		if err == nil && ours != nil {
			t.Errorf("%d families, refused: %v", families, ours)
		}
	})
}

// TestMetricsServer asks a real Prometheus for its own metrics.
func TestMetricsServer(t *testing.T) {
	noLeaks(t)
	program, dir, at := drivertest.Program(t, "prometheus"), t.TempDir(), freeAddress(t)
	drivertest.WriteFile(t, filepath.Join(dir, "empty.yml"), "")
	startDaemon(t, program, "--config.file="+filepath.Join(dir, "empty.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at)
	check := func(query string) error {
		return (&Metrics{URL: "http://" + at + "/metrics", Query: queryOf(t, query)}).Check(within(t))
	}
	drivertest.Eventually(t, "prometheus is ready", func() bool { return check("prometheus_ready == 1") == nil })
	for query, want := range map[string]string{
		`prometheus_config_last_reload_successful == 1 and process_open_fds < 500`:          "",
		`prometheus_build_info{version=~"[0-9.]+.*",goversion!=""} == 1`:                    "",
		`prometheus_http_request_duration_seconds_bucket{handler="/metrics",le="+Inf"} > 0`: "",
		`go_gc_duration_seconds{quantile="1"} < 10`:                                         "",
		`prometheus_notifications_queue_capacity < 10000`:                                   "GET http://ADDR/metrics: prometheus_notifications_queue_capacity is 10000, expected < 10000",
		`up == 1`: "GET http://ADDR/metrics: no sample of up",
		`go_info{version="none"} == 1 or prometheus_tsdb_head_series > 0 and prometheus_config_last_reload_successful != 0 or a<1`: `GET http://ADDR/metrics: no sample of go_info{version="none"}; prometheus_tsdb_head_series is 0, expected > 0; no sample of a`,
	} {
		sameError(t, check(query), want, at)
	}
	ready := &Metrics{URL: "http://" + at + "/metrics", Query: queryOf(t, "prometheus_ready == 1")}
	hangs(t, "prometheus", ready.Check, "GET http://ADDR/metrics: timed out", at)
	dies(t, "prometheus", ready.Check)
}
