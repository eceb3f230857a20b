package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "systemd",
		Doc: "Asks systemd over D-Bus whether a unit is active. A unit that stops or starts is noticed at once, " +
			"whatever the interval. One that has failed or is inactive makes the check down at once. One that reloads is active, " +
			"one that is still starting is not, and counts. While systemd or the system bus does not answer, the run is void.",
		Example: "unit: unbound.service\n",
		New:     func() Checker { return new(Systemd) },
		AtOnce:  unitStops,
	})
}

// Systemd is fit when a unit of the system's systemd is active.
type Systemd struct {
	Unit string `config:"unit" required:"true" doc:"Name of the unit with its type, as in 'unbound.service'. An alias will do."`
}

// The names of systemd on the bus, see org.freedesktop.systemd1(5).
const (
	sdName    = "org.freedesktop.systemd1"
	sdManager = sdName + ".Manager"
	sdUnit    = sdName + ".Unit"
	sdService = sdName + ".Service"
	sdPath    = "/org/freedesktop/systemd1"
	busProps  = "org.freedesktop.DBus.Properties"
)

// Validate implements Validator.
func (s *Systemd) Validate() error {
	types := []string{
		".service", ".socket", ".target", ".timer", ".mount", ".automount", ".path", ".device", ".swap", ".slice", ".scope",
	}
	if !slices.Contains(types, path.Ext(s.Unit)) {
		return fmt.Errorf("unit: %q has no unit type (%s.service?)", s.Unit, s.Unit)
	}
	return nil
}

// Check implements Checker.
func (s *Systemd) Check(ctx context.Context) error {
	props, err := s.properties(ctx)
	if err != nil {
		return err
	}
	return s.judge(props)
}

// properties asks systemd for all that it knows of the unit.
func (s *Systemd) properties(ctx context.Context) (map[string]dbus.Variant, error) {
	seen := sight(ctx)
	seen.waits("systemd, on the system bus")
	conn, unit, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var props map[string]dbus.Variant
	if err := unit.CallWithContext(ctx, busProps+".GetAll", 0, sdUnit).Store(&props); err != nil {
		return nil, fmt.Errorf("asking systemd for the state of %s: %w", s.Unit, unasked(ctx, err))
	}
	seen.sawUnit(props)
	return props, nil
}

// mainProcess returns the number of the main process of a service. That there is none is an
// absentError.
func (s *Systemd) mainProcess(ctx context.Context) (int, error) {
	for range 2 { // it may come between the two questions
		pid, err := s.mainPID(ctx)
		if err != nil || pid > 0 {
			return pid, err
		}
		props, err := s.properties(ctx)
		if err != nil {
			return 0, err
		}
		if err := s.judge(props); err != nil {
			return 0, absentError{err}
		}
	}
	return 0, absent("%s is active, but systemd knows no main process of it: set pidfile, or use kind systemd", s.Unit)
}

// mainPID asks systemd for that number, which is 0 when there is none.
func (s *Systemd) mainPID(ctx context.Context) (int, error) {
	conn, unit, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var pid uint32
	if err := unit.CallWithContext(ctx, busProps+".Get", 0, sdService, "MainPID").Store(&pid); err != nil {
		return 0, fmt.Errorf("asking systemd for the main process of %s: %w", s.Unit, unasked(ctx, err))
	}
	return int(pid), nil
}

// sawUnit notes what systemd tells of a unit.
func (s *Sight) sawUnit(props map[string]dbus.Variant) {
	if s == nil {
		return
	}
	s.saw("state", "load %s, active %s, sub %s", text(props["LoadState"]), text(props["ActiveState"]), text(props["SubState"]))
	for _, fact := range []struct{ what, property string }{{"unit", "Id"}, {"description", "Description"}, {"file", "FragmentPath"}} {
		if said := text(props[fact.property]); said != "" {
			s.saw(fact.what, "%s", said)
		}
	}
	if since, _ := props["StateChangeTimestamp"].Value().(uint64); since > 0 {
		s.saw("since", "%s", time.UnixMicro(int64(since)).UTC().Format(time.RFC3339))
	}
}

// StopsAfter reports whether systemd, when it stops both, stops this unit only once
// the other one has stopped: Before= here or After= there (systemd.unit(5)). Of a
// unit that systemd does not know it is an error.
func (s *Systemd) StopsAfter(ctx context.Context, other string) (bool, error) {
	props, err := s.properties(ctx)
	if err != nil {
		return false, err
	}
	if text(props["LoadState"]) != "loaded" {
		return false, fmt.Errorf("systemd has no unit %s to order", s.Unit)
	}
	before, _ := props["Before"].Value().([]string)
	return slices.Contains(before, other), nil
}

// judge says why a unit with these properties is not fit. Its file may be gone
// while it runs, so the active state decides.
func (s *Systemd) judge(props map[string]dbus.Variant) error {
	switch state := text(props["ActiveState"]); state {
	case "active", "reloading", "refreshing":
		return nil
	case "":
		return fmt.Errorf("systemd does not tell the state of %s", s.Unit)
	case "failed", "inactive":
		return health.Certain(s.down(state, props))
	default: // it is on its way from one state to another, such as a restart by systemd
		return s.down(state, props)
	}
}

// down words the failure of a unit that is not active.
func (s *Systemd) down(state string, props map[string]dbus.Variant) error {
	switch load := text(props["LoadState"]); load {
	case "loaded", "merged", "stub", "":
		return fmt.Errorf("%s is %s (%s), expected active", s.Unit, state, text(props["SubState"]))
	case "not-found":
		return fmt.Errorf("systemd knows no unit %s: is the name right and its package installed?", s.Unit)
	case "masked":
		return fmt.Errorf("%s is masked: run systemctl unmask %s", s.Unit, s.Unit)
	default:
		return fmt.Errorf("%s is not loaded (%s): see systemctl status %s", s.Unit, load, s.Unit)
	}
}

// text returns the string in a variant, or nothing.
func text(v dbus.Variant) string {
	s, _ := v.Value().(string)
	return s
}

// SystemBus connects to the D-Bus system bus. It is a plain connection: that of
// go-systemd listens to the signals of every unit, and a malformed signal, which any
// local user may send, ends the program.
func SystemBus(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx), dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))))
	if err != nil {
		return nil, fmt.Errorf("connecting to the system bus: %w", explain(ctx, err))
	}
	return conn, nil
}

// unasked is explain for a question to systemd. Where systemd has not answered it, that is void:
// a restart of the bus would else withdraw whatever has a unit, on each host that has the
// upgrade.
func unasked(ctx context.Context, err error) error {
	answer, answered := errors.AsType[dbus.Error](err)
	if answered && !strings.HasPrefix(answer.Name, "org.freedesktop.DBus.Error.") {
		return err // an error of systemd's own
	}
	switch strings.TrimPrefix(answer.Name, "org.freedesktop.DBus.Error.") {
	case "InvalidArgs", "UnknownMethod", "UnknownInterface", "UnknownObject", "UnknownProperty":
		return err // it has answered that the question is wrong
	}
	return health.Void(explain(ctx, err))
}

// open connects to the system bus and finds the unit there. LoadUnit also finds
// a unit that systemd has not in memory, and the one behind an alias.
func (s *Systemd) open(ctx context.Context) (*dbus.Conn, dbus.BusObject, error) {
	conn, err := SystemBus(ctx)
	if err != nil {
		return nil, nil, health.Void(err)
	}
	var at dbus.ObjectPath
	err = conn.Object(sdName, sdPath).CallWithContext(ctx, sdManager+".LoadUnit", 0, s.Unit).Store(&at)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("asking systemd for %s: %w", s.Unit, unasked(ctx, err))
	}
	return conn, conn.Object(sdName, at), nil
}

// Watch implements Watcher. The bus passes on only the changes of this unit.
func (s *Systemd) Watch(ctx context.Context, changed func()) error {
	conn, unit, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	err = conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(sdName), dbus.WithMatchObjectPath(unit.Path()),
		dbus.WithMatchInterface(busProps), dbus.WithMatchMember("PropertiesChanged"))
	if err != nil {
		return fmt.Errorf("watching %s on the bus: %w", s.Unit, explain(ctx, err))
	}
	err = conn.Object(sdName, sdPath).CallWithContext(ctx, sdManager+".Subscribe", 0).Store()
	if err != nil {
		return fmt.Errorf("subscribing to systemd: %w", explain(ctx, err))
	}
	changed() // before the subscription something may have been missed
	for signal := range signals {
		if changesState(signal, unit.Path()) {
			changed()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the connection to the system bus is lost")
}

// changesState reports whether a signal tells of another active state of the
// unit at a path. Nothing is taken for granted: any local user may send one.
func changesState(s *dbus.Signal, at dbus.ObjectPath) bool {
	if s.Name != busProps+".PropertiesChanged" || s.Path != at || len(s.Body) < 2 {
		return false
	}
	changes, ok := s.Body[1].(map[string]dbus.Variant)
	_, state := changes["ActiveState"]
	return ok && s.Body[0] == sdUnit && state
}
