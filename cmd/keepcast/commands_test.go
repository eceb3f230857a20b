package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Wrong usage is told from what failed, and says what would be right. Render of a name that
// is not configured exited with 1, as if it had failed, where probe exited with 2: a script
// that told the two apart tried again what nobody could do.
func TestExitCodes(t *testing.T) {
	e := &fakeEngine{status: api.Status{Services: []api.ServiceStatus{{Name: "dns"}}}, err: errors.New(`no service "dsn" (did you mean "dns"?)`)}
	refusing := answers(t, e)
	file := written(t, gated)
	dir := filepath.Dir(file)
	drivertest.WriteFile(t, dir+"/t", "")
	drivertest.WriteFile(t, dir+"/bad.yaml", "services: []\n")
	const see = "\nsee \"keepcast "
	for line, tt := range map[string]struct {
		code int
		errs string
	}{
		"drain dsn --socket " + refusing:             {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"resume dsn --socket " + refusing:            {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"reload --socket " + refusing:                {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"status --socket " + refusing:                {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"status --socket " + dir + "/none":           {exitNotRunning, `keepcast: keepcast is not running here (nobody answers at ` + dir + `/none): start it with "systemctl start keepcast" or "keepcast run"`},
		"status -c " + file:                          {exitNotRunning, `keepcast: keepcast is not running here (nobody answers at ` + dir + `/keepcast.sock): start it with "systemctl start keepcast" or "keepcast run"`},
		"status -o xml":                              {exitUsage, `keepcast: no output format "xml" (known: table, json, yaml)` + see + `status --help"`},
		"doctor -o yaml":                             {exitUsage, `keepcast: no output format "yaml" (known: table, json)` + see + `doctor --help"`},
		"drain":                                      {exitUsage, "keepcast: which service? name one or more, or give --all" + see + `drain --help"`},
		"check-now dsn --socket " + refusing:         {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"check-now":                                  {exitUsage, "keepcast: which service? name one or more, or give --all" + see + `check-now --help"`},
		"check-now dns --all":                        {exitUsage, "keepcast: either services or --all, not both" + see + `check-now --help"`},
		"check-now dns -c " + file:                   {exitNotRunning, `keepcast: keepcast is not running here (nobody answers at ` + dir + `/keepcast.sock): start it with "systemctl start keepcast" or "keepcast run"`},
		"check-now dns -c " + dir + "/bad.yaml":      {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the control_socket of its keepcast: name it with --socket\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"report dns/push sideways":                   {exitUsage, `keepcast: "sideways" is neither up nor down` + see + `report --help"`},
		"report dns/push up --ttl 0s":                {exitUsage, "keepcast: --ttl 0s: how long the report holds is more than nothing" + see + `report --help"`},
		"report dns/push":                            {exitUsage, "keepcast: accepts 2 arg(s), received 1" + see + `report --help"`},
		"report dns/push up --socket " + refusing:    {exitFailed, `keepcast: no service "dsn" (did you mean "dns"?)`},
		"report dns/push up -c " + dir + "/bad.yaml": {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the control_socket of its keepcast: name it with --socket\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"probe -o xml":                               {exitUsage, `keepcast: no output format "xml" (known: table, json, yaml)` + see + `probe --help"`},
		"resume dns --all":                           {exitUsage, "keepcast: either services or --all, not both" + see + `resume --help"`},
		"drain --all --for 0s":                       {exitUsage, "keepcast: --for 0s: a time that is not over yet, please" + see + `drain --help"`},
		"withdraw-all --linger -1s":                  {exitUsage, "keepcast: --linger -1s: a time from 0s on, please" + see + `withdraw-all --help"`},
		"probe ldap -c " + file:                      {exitUsage, `keepcast: no service "ldap" (configured: dns)` + see + `probe --help"`},
		"anycast-id nonsense":                        {exitUsage, `keepcast: "nonsense" is no subnet, such as 2001:db8:53::/64` + see + `anycast-id --help"`},
		"anycast-id 2001:db8::/64 --id 128":          {exitUsage, "keepcast: identifier 128 is out of range (0 to 127)" + see + `anycast-id --help"`},
		"anycast-id":                                 {exitUsage, "keepcast: accepts 1 arg(s), received 0" + see + `anycast-id --help"`},
		"init --daemon gated":                        {exitUsage, `keepcast: no starter for "gated" (known: bird, frr, quagga)` + see + `init --help"`},
		"version --lang en":                          {exitUsage, "keepcast: unknown flag: --lang" + see + `version --help"`},
		"nothing":                                    {exitUsage, `keepcast: unknown command "nothing" for "keepcast"` + see + `--help"`},
		"validate my.yaml":                           {exitUsage, `keepcast: "my.yaml": validate takes no argument: name the file by --config my.yaml` + see + `validate --help"`},
		"validate -c " + dir + "/bad.yaml":           {exitConfig, dir + "/bad.yaml:1:1: services: no service is configured\n1 fault in the configuration"},
		"validate --offline -c " + dir + "/bad.yaml": {exitConfig, dir + "/bad.yaml:1:1: services: no service is configured\n1 fault in the configuration"},
		"resume dns -c " + dir + "/bad.yaml":         {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the control_socket of its keepcast: name it with --socket\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"reload -c " + dir + "/bad.yaml":             {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the control_socket of its keepcast: name it with --socket\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"status -c " + dir + "/bad.yaml":             {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the control_socket of its keepcast: name it with --socket\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"withdraw-all -c " + dir + "/bad.yaml":       {exitFailed, "keepcast: " + dir + "/bad.yaml is not valid, and does not say the runtime_directory of its keepcast: name it with --runtime-directory\n" + dir + "/bad.yaml:1:1: services: no service is configured"},
		"render file -c " + dir + "/bad.yaml":        {exitConfig, dir + "/bad.yaml:1:1: services: no service is configured\n1 fault in the configuration"},
		"probe -c " + dir + "/bad.yaml":              {exitConfig, dir + "/bad.yaml:1:1: services: no service is configured\n1 fault in the configuration"},
		"render frr -c " + file:                      {exitUsage, `keepcast: no driver "frr" (configured: file)` + see + `render --help"`},
		"doctor -c " + dir + "/bad.yaml -o json":     {exitFailed, "keepcast: 1 error found"},
		"init --daemon bird --write " + dir + "/t":   {exitFailed, "keepcast: directory of the configuration: mkdir " + dir + "/t: not a directory"},
		"init --daemon bird --write " + dir:          {exitFailed, "keepcast: " + file + " is there already, and stays as it is: move it away, or write into another directory"},
	} {
		t.Run(line, func(t *testing.T) {
			code, _, errs := keepcastSays(t, strings.Fields(line)...)
			if code != tt.code || errs != tt.errs+"\n" {
				t.Errorf("exit code %d, got  %s\nwant %d, %s", code, errs, tt.code, tt.errs)
			}
		})
	}
}

// The shell completes what a command knows.
func TestCompletion(t *testing.T) {
	file := written(t, gated)
	drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
	const none = "-c /nonexistent/keepcast.yaml "
	for line, want := range map[string]string{
		"drain -c " + file + " ":            "dns\n:4\n",
		"resume -c " + file + " ":           "dns\n:4\n",
		"probe -c " + file + " ":            "dns\n:4\n",
		"check-now -c " + file + " ":        "dns\n:4\n",
		"check-now -c " + file + " dns/":    "dns/exec\n:4\n",
		"report -c " + file + " dns/":       "dns/exec\n:4\n",
		"report -c " + file + " dns/exec ":  "up\ndown\n:4\n",
		"probe -c " + file + " dns/":        "dns/exec\n:4\n",
		"probe -c " + file + " web/":        ":4\n",
		"probe " + none + "dns/":            ":4\n",
		"probe --output ":                   "table\njson\nyaml\n:4\n",
		"render -c " + file + " ":           "file\n:4\n",
		"drain " + none:                     ":4\n",
		"render " + none:                    ":4\n",
		"status --output ":                  "table\njson\nyaml\n:4\n",
		"doctor --output ":                  "table\njson\n:4\n",
		"anycast-id --format ":              "auto\neui64\nother\n:4\n",
		"init --daemon ":                    "bird\nfrr\nquagga\n:4\n",
		"init --write ":                     ":16\n",
		"init --root ":                      ":16\n",
		"withdraw-all --runtime-directory ": ":16\n",
	} {
		t.Run(line, func(t *testing.T) {
			if _, out, _ := keepcastSays(t, append([]string{"__complete"}, strings.Split(line, " ")...)...); out != want {
				t.Errorf("got %s, want %s", out, want)
			}
		})
	}
}

// A broken configuration does not keep an operator from draining, and does not have him
// drain another keepcast: with a typo in b.yaml, "keepcast -c b.yaml drain --all" drained
// the default instance, or said that none ran.
func TestClientSocket(t *testing.T) {
	file := written(t, gated)
	dir := filepath.Dir(file)
	drivertest.WriteFile(t, dir+"/t", "")
	for name, text := range map[string]string{
		"said":     "control_socket: " + dir + "/b.sock\nservices: [\n",
		"in-force": "runtime_directory: " + dir + "/b\nservices: [\n",
		"never":    "runtime_directory: " + dir + "/none\nservices: [\n",
		"silent":   "services: []\n",
	} {
		drivertest.WriteFile(t, dir+"/"+name+".yaml", text)
	}
	if err := os.Mkdir(dir+"/b", 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/b/config.yaml", strings.ReplaceAll(strings.ReplaceAll(gated, "DIR/keepcast.sock", dir+"/force.sock"), "DIR", dir))
	builtIn := "/run/keepcast/keepcast.sock"
	for _, path := range []string{"/run/keepcast/config.yaml", defaultConfig} { // one runs on this host
		if cfg, err := config.Load(path); err == nil {
			builtIn = cfg.ControlSocket
		}
	}
	const unknown = " is not valid, and does not say the control_socket of its keepcast: name it with --socket\n"
	for name, tt := range map[string]struct {
		app  app
		want string
		errs string
	}{
		"configured":        {app{configFile: file}, dir + "/keepcast.sock", ""},
		"by a flag":         {app{configFile: file, socket: "/x"}, "/x", ""},
		"by a flag, broken": {app{configFile: dir + "/silent.yaml", socket: "/x"}, "/x", ""},
		"built in":          {app{configFile: defaultConfig}, builtIn, ""},
		"broken":            {app{configFile: dir + "/said.yaml"}, dir + "/b.sock", ""},
		"in force":          {app{configFile: dir + "/in-force.yaml"}, dir + "/force.sock", ""},
		"never in force":    {app{configFile: dir + "/never.yaml"}, "", dir + "/never.yaml" + unknown},
		"not said":          {app{configFile: dir + "/silent.yaml"}, "", dir + "/silent.yaml" + unknown + dir + "/silent.yaml:1:1: services: no service is configured"},
		"missing":           {app{configFile: dir + "/none.yaml"}, "", dir + "/none.yaml" + unknown + "configuration: open "},
	} {
		got, err := tt.app.client()
		if got.Socket != tt.want || !strings.HasPrefix(drivertest.ErrText(err), tt.errs) || (err == nil) != (tt.errs == "") {
			t.Errorf("%s: got %s, %v, want %s, %s", name, got.Socket, err, tt.want, tt.errs)
		}
	}
	if code, _, errs := keepcastSays(t, "drain", "--all", "-c", dir+"/silent.yaml"); code != exitFailed || !strings.HasPrefix(errs, "keepcast: "+dir+"/silent.yaml"+unknown) {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestVersion(t *testing.T) {
	before := release
	t.Cleanup(func() { release = before })
	for built, want := range map[string]string{"1.2.3": "keepcast 1.2.3 (go1.", "": "keepcast (devel) (go1."} {
		release = built
		if code, out, errs := keepcastSays(t, "version"); code != exitOK || !strings.HasPrefix(out, want) {
			t.Errorf("exit code %d, got %s%s, want %s", code, out, errs, want)
		}
	}
}

// Without a command the help is shown, with the exit codes that scripts go by.
func TestHelp(t *testing.T) {
	code, out, errs := keepcastSays(t)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	has(t, out, exitCodes, "\nUsage:\n")
}

// What is wrong with the usage can still be told apart.
func TestUsageError(t *testing.T) {
	if err := error(usageError{fs.ErrInvalid}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%v is lost", err)
	}
}

// Of a keepcast whose socket was gone every command said that it does not run.
func TestSocketIsGone(t *testing.T) {
	k := start(t, "")
	if err := os.Remove(k.path("keepcast.sock")); err != nil {
		t.Fatal(err)
	}
	k.write("keepcast.sock", "") // keepcast leaves it alone, so that the socket stays gone
	want := fmt.Sprintf("keepcast: keepcast (pid %d) runs, for it holds the lock in %s, but nobody answers on %s; "+
		"it makes its socket anew within some seconds where it may; else systemctl restart keepcast: a restart moves no route\n", os.Getpid(), k.path("runtime"), k.path("keepcast.sock"))
	for _, command := range []string{"status", "drain --all", "resume --all", "check-now --all", "reload"} {
		code, out, errs := keepcastSays(t, append(strings.Fields(command), "-c", k.path("keepcast.yaml"))...)
		if code != exitFailed || out != "" || errs != want {
			t.Errorf("%s: exit code %d, %s%s, want %s", command, code, out, errs, want)
		}
	}
	_, out, _ := keepcastSays(t, "doctor", "-c", k.path("keepcast.yaml"))
	has(t, out, "runs, for it holds the lock in "+k.path("runtime")+", but nobody answers on "+k.path("keepcast.sock"))
}

// Where a running keepcast is asked: what the drop-ins say counts, too, and without a
// configuration it is where keepcast listens by default.
func TestClient(t *testing.T) {
	file := written(t, strings.Replace(gated, "control_socket: DIR/keepcast.sock\n", "", 1))
	dir := filepath.Dir(file)
	drivertest.WriteFile(t, dir+"/t", "")
	if err := os.Mkdir(dir+"/conf.d", 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/conf.d/socket.yaml", "control_socket: "+dir+"/other.sock\n")
	if c, err := (&app{configFile: file}).client(); err != nil || c.Socket != dir+"/other.sock" || c.RuntimeDir != dir+"/runtime" {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err := (&app{configFile: defaultConfig}).client(); err != nil || c.Socket != config.DefaultOf("control_socket") {
		t.Errorf("by default: %+v, %v", c, err)
	}
}
