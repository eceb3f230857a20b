package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// BenchmarkCost measures what checks of one second cost their host: keepcast, and what its
// checks start, but not the service that they ask. An iteration is a second, so that
// -benchtime 20x makes it twenty.
func BenchmarkCost(b *testing.B) {
	program := released(b)
	for _, tc := range []struct {
		name, check string
		many        []int
	}{
		{"http", askHTTP, []int{100, 1000}},
		{"http reuse", "{kind: http, url: 'http://127.0.0.1:8080/', reuse: true}", []int{1000}},
		{"tcp", askTCP, []int{100, 1000}},
		{"dns", askDNS, []int{100, 1000}},
		{"exec", "{kind: exec, command: [/bin/true]}", []int{100}},
	} {
		for _, n := range tc.many {
			b.Run(fmt.Sprintf("%s %d", tc.name, n), func(b *testing.B) { newCosts(b, program, "1s", n, tc.check).measure() })
		}
	}
}

// BenchmarkScale measures the same for as many checks as keepcast is made for, of three kinds, each
// of a service of its own. What is said to grow has grown in that time. It takes a quarter of an
// hour to see that nothing does: -benchtime 600x.
func BenchmarkScale(b *testing.B) {
	program := released(b)
	for _, tc := range []struct {
		n        int
		interval string
	}{{2000, "1s"}, {10000, "10s"}} {
		b.Run(fmt.Sprintf("%d of %s", tc.n, tc.interval), func(b *testing.B) {
			newCosts(b, program, tc.interval, tc.n, askHTTP, askTCP, askDNS).measure()
		})
	}
}

// What asks the servers of newCosts.
const (
	askHTTP = "{kind: http, url: 'http://127.0.0.1:8080/'}"
	askTCP  = "{kind: tcp, address: '127.0.0.1:8080'}"
	askDNS  = "{kind: dns, server: '127.0.0.1:5353', query: localhost}"
)

// released builds keepcast as it is released.
func released(b *testing.B) (program string) {
	b.Helper()
	program = filepath.Join(b.TempDir(), "keepcast")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// costs is a keepcast that runs checks, beside a web server and a resolver.
type costs struct {
	way
	dir      string
	keepcast *exec.Cmd
}

// newCosts starts n services with a check each, of one kind after the other.
func newCosts(b *testing.B, program, interval string, n int, checks ...string) *costs {
	b.Helper()
	c := &costs{way: way{b: b}, dir: b.TempDir()}
	c.open()
	c.must(os.Chmod(c.dir, 0o755))
	c.write("nginx.conf", `
daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 1000000;
  server { listen 127.0.0.1:8080 backlog=4096; return 200 "ok\n"; }
}
`)
	c.write("unbound.conf", `
server:
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: ""
  interface: 127.0.0.1@5353
`)
	c.write("template", "x\n")
	config := fmt.Sprintf(`
interface: any0
log_level: warn
listen: 127.0.0.1:9911
runtime_directory: %[1]s/run
state_directory: %[1]s/state
control_socket: %[1]s/socket
drivers: [{kind: template, template: %[1]s/template, output: %[1]s/output, reload: ["/bin/true"]}]
defaults: {interval: %[2]s}
services:
`, c.dir, interval)
	for i := range n {
		config += fmt.Sprintf("- {name: s%d, prefixes: [10.0.%d.%d/32], checks: [%s]}\n", i, i/256, i%256, checks[i%len(checks)])
	}
	c.write("keepcast.yaml", config)
	c.start(drivertest.Program(b, "nginx"), "-p", c.dir, "-e", "stderr", "-c", "nginx.conf")
	c.start(drivertest.Program(b, "unbound"), "-c", filepath.Join(c.dir, "unbound.conf"))
	c.keepcast = c.start(program, "run", "--config", filepath.Join(c.dir, "keepcast.yaml"))
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:5353"} {
		drivertest.Eventually(b, "the service at "+address, func() bool {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return false
			}
			return conn.Close() == nil
		})
	}
	announced := func() bool { return c.metric(`keepcast_service_state{`, `state="announced"`) == float64(n) }
	for range 6 { // ten thousand take a while
		if drivertest.WaitFor(announced) {
			return c
		}
	}
	b.Fatal("not all services are announced")
	return nil
}

func (c *costs) write(name, text string) {
	c.b.Helper()
	drivertest.WriteFile(c.b, filepath.Join(c.dir, name), text)
}

// start starts a program that is ended with the benchmark.
func (c *costs) start(program string, args ...string) *exec.Cmd {
	c.b.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &said, &said
	c.must(cmd.Start())
	c.b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if c.b.Failed() {
			c.b.Logf("%s: %s", program, said.String())
		}
	})
	return cmd
}

// measure measures for as many seconds as there are iterations.
func (c *costs) measure() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	late, runs := c.metric("keepcast_check_start_delay_seconds_sum"), c.metric("keepcast_check_start_delay_seconds_count")
	used, began := c.used(), time.Now()
	resident, goroutines, descriptors := c.resident(), c.metric("go_goroutines"), c.metric("process_open_fds")
	for c.b.Loop() {
		<-second.C
	}
	used, took := c.used()-used, time.Since(began)
	grown := c.resident() - resident
	resident += grown
	late, runs = c.metric("keepcast_check_start_delay_seconds_sum")-late, c.metric("keepcast_check_start_delay_seconds_count")-runs
	c.b.ReportMetric(0, "ns/op")
	c.b.ReportMetric(used.Seconds()/took.Minutes(), "cpu-s/min")
	c.b.ReportMetric(runs/took.Seconds(), "runs/s")
	c.b.ReportMetric(late/runs*1000, "late-ms")
	c.b.ReportMetric(resident/(1<<20), "resident-MiB")
	c.b.ReportMetric(grown/(1<<20), "grown-MiB")
	c.b.ReportMetric(c.metric("go_goroutines")-goroutines, "grown-goroutines")
	c.b.ReportMetric(c.metric("process_open_fds")-descriptors, "grown-descriptors")
	if failed := c.metric("keepcast_check_results_total{", `result="failure"`); failed > 0 {
		c.b.Errorf("%.0f runs failed", failed)
	}
}

// used returns the processor time of keepcast, and of what it started and has seen the end of.
func (c *costs) used() time.Duration {
	c.b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.keepcast.Process.Pid))
	c.must(err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	var ticks time.Duration // of a hundredth of a second (proc_pid_stat(5))
	for _, field := range fields[12:16] {
		n, err := strconv.Atoi(field)
		c.must(err)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// resident returns the resident memory of keepcast, in bytes. It does not ask for the metrics,
// since to write them takes memory of its own for a while.
func (c *costs) resident() float64 {
	c.b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.keepcast.Process.Pid))
	c.must(err)
	_, resident, _ := strings.Cut(string(status), "VmRSS:")
	size, err := strconv.ParseFloat(strings.Fields(resident)[0], 64)
	c.must(err)
	return size * (1 << 10)
}

// metric adds up the metrics of keepcast that begin with a name and have a text in them.
func (c *costs) metric(name string, with ...string) float64 {
	c.b.Helper()
	var resp *http.Response
	drivertest.Eventually(c.b, "the metrics of keepcast", func() bool {
		var err error
		resp, err = http.Get("http://127.0.0.1:9911/metrics")
		if err != nil {
			return false
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
		}
		return resp.StatusCode == http.StatusOK
	})
	defer resp.Body.Close()
	sum := 0.0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, name) && strings.Contains(line, strings.Join(with, "")) {
			value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			c.must(err)
			sum += value
		}
	}
	return sum
}
