package howto

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// server is a daemon that runs in the foreground.
type server struct {
	cmd   *exec.Cmd
	log   drivertest.Buffer
	ended chan struct{}
}

// starts starts a daemon in the foreground.
func (h *host) starts(program string, args ...string) *server {
	h.Helper()
	s := &server{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.WaitDelay = time.Second // its children may hold the output
	if err := s.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		s.cmd.Wait()
	}()
	h.servers = append(h.servers, s)
	h.Cleanup(func() {
		s.stop()
		if h.Failed() {
			h.Logf("%s says:\n%s", program, s.log.String())
		}
	})
	return s
}

// stop asks the daemon to end, and kills it if it does not.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Kill() })
	defer late.Stop()
	<-s.ended
}

// ends reports whether one of the daemons has ended, which none should by itself.
func (h *host) ends() bool {
	return slices.ContainsFunc(h.servers, func(s *server) bool {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
}

// listens waits until something listens at these addresses, TCP or UDP, be they on this host or
// not: a server starts before keepcast puts them there.
func (h *host) listens(at ...string) {
	h.Helper()
	for _, one := range at {
		drivertest.Eventually(h, "something listens at "+one, func() bool {
			return strings.Contains(h.sh("ss -Hlntu"), " "+one+" ")
		})
	}
}

// found is what each check says, by SERVICE/CHECK; "fit" where it has no objection.
type found map[string]string

// probe runs each check once.
func (h *host) probe() found {
	out := found{}
	for _, s := range h.cfg.Services {
		for _, c := range s.Checks {
			said := "fit"
			if err := health.Once(h.Context(), c.Checker, c.Timeout); err != nil {
				said = err.Error()
			}
			out[s.Name+"/"+c.Name] = said
		}
	}
	return out
}

// says waits until each check is fit, but for those of which the text says what is to be found
// in what they say.
func (h *host) says(when string, but found) {
	h.Helper()
	var last found
	drivertest.WaitFor(func() bool { last = h.probe(); return last.as(but) || h.ends() })
	if last.as(but) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		h.Errorf("%s: %s says %s", when, name, last[name])
	}
	h.FailNow()
}

// as reports whether all are fit, but for some that say what is wanted.
func (f found) as(but found) bool {
	for name, said := range f {
		if want := but[name]; want == "" && said != "fit" || !strings.Contains(said, want) {
			return false
		}
	}
	for name := range but {
		if f[name] == "" {
			return false
		}
	}
	return true
}

// lives has a server that was just started announced, withdrawn and stopped. The checks are fit
// all the while, but for some; else the service would never come, or never come back.
func (h *host) lives(s *server, but found) {
	h.Helper()
	h.comesAndGoes(but)
	h.stops(s)
}

// comesAndGoes is lives without the stop.
func (h *host) comesAndGoes(but found) {
	h.Helper()
	h.says("withdrawn", but)
	h.presence(driver.Announced)
	h.says("announced", but)
	h.presence(driver.Delivered)
	h.says("withdrawn again", but)
}

// stops stops a server, and looks whether each check says so, but for those that do not ask it.
func (h *host) stops(s *server, aside ...string) {
	h.Helper()
	h.servers = slices.DeleteFunc(h.servers, func(other *server) bool { return other == s })
	s.stop()
	for name, said := range h.probe() {
		if said == "fit" != slices.Contains(aside, name) {
			h.Errorf("%s is stopped: %s says %s", s.cmd.Path, name, said)
		}
	}
}
