package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Validate found all of these valid, and run ended with an error: an operator who had
// validated before a restart lost every announcement to the fail-safe.
func TestDaemonFaults(t *testing.T) {
	long := strings.Repeat("x", 107)
	for text, want := range map[string]string{
		"listen: 127.0.0.1":            `listen: "127.0.0.1": missing port in address: host:port expected, such as 127.0.0.1:9911 or [::1]:9911`,
		"listen: ::1:9911":             `listen: "::1:9911": too many colons in address: host:port expected, such as 127.0.0.1:9911 or [::1]:9911`,
		"listen: ':99171'":             `listen: ":99171": "99171" is no port: a number up to 65535 expected`,
		"listen: 'localhost:'":         `listen: "localhost:": "" is no port: a number up to 65535 expected`,
		"listen: 'localhost:nothing'":  `listen: "localhost:nothing": "nothing" is no port: a number up to 65535 expected`,
		"listen: 127.0.0.256:9911":     `listen: "127.0.0.256:9911": "127.0.0.256" is neither an address nor the name of a host`,
		"listen: 'a b:9911'":           `listen: "a b:9911": "a b" is neither an address nor the name of a host`,
		"control_socket: /" + long:     `control_socket: 108 bytes are too many for the path of a socket, which has 107 at most: move it to a shorter one, such as /run/` + long,
		"control_socket: ''":           `control_socket: empty: without it no command could speak to keepcast`,
		"control_socket: FILE/k.sock":  `control_socket: FILE is a file, not a directory`,
		"control_socket: run.sock":     `control_socket: "run.sock" does not begin with /: keepcast and its commands would each look in the directory that they were started in`,
		"state_directory: state":       `state_directory: "state" does not begin with /: keepcast and its commands would each look in the directory that they were started in`,
		"drain_directory: ./drain.d":   `drain_directory: "./drain.d" does not begin with /: keepcast and its commands would each look in the directory that they were started in`,
		"runtime_directory: FILE":      `runtime_directory: FILE is a file, not a directory`,
		"runtime_directory: ''":        `runtime_directory: empty: the path of a directory expected`,
		"state_directory: FILE/a/b":    `state_directory: FILE is a file, not a directory`,
		"state_directory: ''":          `state_directory: empty: the path of a directory expected`,
		"drain_directory: FILE":        `drain_directory: FILE is a file, not a directory`,
		"template_directory: FILE":     `template_directory: FILE is a file, not a directory`,
		"interface: anycast0123456789": `interface: "anycast0123456789" is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'`,
		"interface: any/0":             `interface: "any/0" is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'`,
		"interface: ''":                `interface: "" is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'`,
		"interface: all":               `interface: "all" is no name of an interface: the kernel has its sysctls for every interface under it`,
		"interface: 5":                 `interface: text expected, got 5: write it in quotes`,
		"listen: 5":                    `listen: text expected, got 5: write it in quotes`,
		"control_socket: 5":            `control_socket: text expected, got 5: write it in quotes`,
		"state_directory: 5":           `state_directory: text expected, got 5: write it in quotes`,
		"interface: default":           `interface: "default" is no name of an interface: the kernel has its sysctls for every interface under it`,
		"drivers: [{kind: bird, name: kernel}]": `drivers[kernel].name: "kernel" is what logs, metrics and status call the addresses that keepcast keeps in the kernel: ` +
			`take another name`,
	} {
		main := files(t, minimal+text+"\n-- file --\n")
		file := filepath.Join(filepath.Dir(main), "file")
		drivertest.WriteFile(t, main, strings.ReplaceAll(minimal+text+"\n", "FILE", file))
		_, err := Load(main)
		if got := strings.ReplaceAll(drivertest.ErrText(err), file, "FILE"); !strings.HasSuffix(got, ": "+want) || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	name := strings.Repeat("a", 256)
	_, err := Load(files(t, "services:\n"+service(name, "addresses: [192.0.2.1]")))
	if want := "256 letters are too many: 255 at most, for a file of that name drains the service"; !strings.HasSuffix(drivertest.ErrText(err), ".name: "+want) {
		t.Errorf("got %v", err)
	}
}

// What looks like that and works.
func TestDaemonTakes(t *testing.T) {
	for _, text := range []string{
		"listen: ''", "listen: ':9911'", "listen: '[::1]:9911'", "listen: '[fe80::1%eth0]:9911'", "listen: localhost:9911", "listen: 0.0.0.0:http", "listen: 127.0.0.1:0",
		"control_socket: /" + strings.Repeat("x", 106), "runtime_directory: /nowhere/at/all", "drain_directory: ''", "template_directory: ''",
		"interface: any.0:1-x_", "interface: lo",
	} {
		load(t, minimal+text+"\n")
	}
	load(t, "services:\n"+service(strings.Repeat("a", 255), "addresses: [192.0.2.1]"))
}

func TestKernelName(t *testing.T) {
	if kernelName != reconcile.KernelName {
		t.Errorf("the reconciler calls it %s", reconcile.KernelName)
	}
}
