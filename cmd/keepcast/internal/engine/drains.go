package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// drains are the orders to drain: those given by command, which survive a
// reboot, and those of the files in drain.d, which hold while the file is there.
type drains struct {
	commanded map[string]order
	files     map[string]api.Drain
	odd       map[string]string // what else is in drain.d, by name, and what it is
	ordered   map[string]bool   // the services whose drains were changed by command since the start
}

// active returns the drain of a service, or nil. A drain by command takes precedence
// over one by a file, so its reason is shown.
func (d drains) active(service string, now time.Time) *api.Drain {
	if order, ok := d.commanded[service]; ok && !order.Over(now) {
		return &order.Drain
	}
	if drain, ok := d.files[service]; ok && !drain.Over(now) {
		return &drain
	}
	return nil
}

// list returns the commanded drains, to be saved.
func (d drains) list() []order {
	list := []order{}
	for _, name := range slices.Sorted(maps.Keys(d.commanded)) {
		list = append(list, d.commanded[name])
	}
	return list
}

// loadDrains takes the drains that were ordered before this start, by command and by
// file. The errors say why either are not known. Last is what the last run left.
func (e *Engine) loadDrains(last saved, now time.Time) (commanded, files error) {
	list, notice, commanded := e.disk.savedDrains.Load(func(list []order, notice, err error) {
		e.post(func() { e.takeLateDrains(list, notice, err) })
	})
	if commanded == nil && list == nil && len(last.Drains) > 0 {
		e.log.Warn("saved drains missing: those that the last run had are taken from its state", "path", e.disk.savedDrains.Path, "drains", len(last.Drains))
		list = last.Drains
	}
	e.takeDrains(list, ids(last.Services), notice, now)
	found, files := drainDirNow(e.cfg.DrainDir)
	e.takeDrainDir(found, files)
	e.followFiles(renames(e.former(last)))
	return commanded, files
}

// takeDrains takes the drains that were saved, unless a command has changed them since.
// Before are the services of the last run, as far as they are known.
func (e *Engine) takeDrains(list []order, before []identity, notice error, now time.Time) {
	if notice != nil {
		e.log.Error("saved drains damaged", "err", notice)
	}
	list = slices.DeleteFunc(list, func(o order) bool { return o.Over(now) })
	for name, o := range e.follow(list, before) {
		if !e.drains.ordered[name] {
			o.Since, o.File = soonest(o.Since, now), ""
			e.drains.commanded[name] = o
		}
	}
}

// takeLateDrains takes what a file system that hung at the start has to say in the end. Then
// it is known which services were drained, and the others come back. If it says nothing of
// use, all stay as they are until they are resumed.
func (e *Engine) takeLateDrains(list []order, notice, err error) {
	now := time.Now()
	if err != nil {
		e.log.Error("saved drains unreadable", "err", err)
	} else {
		e.log.Info("saved drains read at last", "drains", len(list))
		maps.DeleteFunc(e.drains.commanded, func(_ string, o order) bool { return o.Reason == e.unknownDrain() })
		e.takeDrains(list, nil, notice, now)
		e.happened(now)
	}
	e.find()
	e.saveDrains()
}

// saveDrains has the drains written, and returns the number of the writing.
func (e *Engine) saveDrains() uint64 {
	e.save()
	return e.disk.drains.Put(e.drains.list())
}

// unknownDrain is the reason of services that may have been drained.
func (e *Engine) unknownDrain() string {
	return fmt.Sprintf("saved drains unreadable (%s): keepcast resume when it may come back", e.disk.savedDrains.Path)
}

// holdBack drains the services that are not on the host, if drains are not known: theirs
// may be among them. What is announced was not drained, and stays. So the host stays as it
// is, until an operator resumes them, or drain.d can be read.
func (e *Engine) holdBack(commanded, files error, now time.Time) {
	if commanded != nil {
		e.log.Error("saved drains unreadable: services that the host does not announce stay withdrawn until keepcast resume", "err", commanded)
	}
	for _, s := range e.services {
		name := s.cfg.Name
		if s.state.Up() {
			continue
		}
		if commanded != nil {
			e.order(s, api.Drain{Reason: e.unknownDrain(), Since: now})
		}
		if files != nil {
			e.drains.files[name] = api.Drain{Service: name, Reason: "it can't be read, so its drains are not known", File: e.cfg.DrainDir, Since: now}
		}
	}
	e.find()
	// While a file system hangs, what it has is not replaced: it may answer yet.
	if !errors.Is(commanded, pace.ErrHangs) {
		e.saveDrains()
	}
}

// drainFiles takes what drain.d orders.
func (e *Engine) drainFiles(found drainDir, err error) {
	e.post(func() { e.takeDrainDir(found, err) })
}

// takeDrainDir takes what drain.d orders. While it can't be read, its drains stay; also where it
// is gone with files that drained: it may be unmounted, or about to be replaced.
func (e *Engine) takeDrainDir(found drainDir, err error) {
	if err == nil && slices.ContainsFunc(e.services, func(s *service) bool { return e.drains.files[s.cfg.Name].File != "" }) {
		err = found.gone
	}
	if text := fmt.Sprint(err); err != nil && text != fmt.Sprint(e.drainError) {
		e.log.Error("drain directory not readable: its drains stay as they were", "err", err)
	}
	defer e.find()
	if e.drainError = err; err != nil {
		return
	}
	before := e.drainsNothing()
	e.drains.files, e.drains.odd = found.drains, found.odd
	e.happened(time.Now())
	for name, why := range e.drainsNothing() {
		if before[name] != why {
			e.log.Warn("drains nothing", "file", filepath.Join(e.cfg.DrainDir, name), "reason", why)
		}
	}
}

// drainsNothing returns what is in drain.d without draining a service, by name, and why.
func (e *Engine) drainsNothing() map[string]string {
	out := maps.Clone(e.drains.odd)
	if out == nil {
		out = map[string]string{}
	}
	for name, d := range e.drains.files {
		if e.service(name) == nil && d.File != e.cfg.DrainDir {
			out[name] = "no service has this name"
		}
	}
	return out
}

// waitingDrains returns the names of drains by command whose service left the configuration.
func (e *Engine) waitingDrains() []string {
	var out []string
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(e.drains.commanded)) {
		if o := e.drains.commanded[name]; e.service(name) == nil && !o.Over(now) {
			out = append(out, name)
		}
	}
	return out
}

// find notes what an operator should know of keepcast's own files: whenever they, the
// drains or the services change.
func (e *Engine) find() {
	out := slices.Collect(maps.Values(e.unsaved))
	var held []string
	for _, name := range slices.Sorted(maps.Keys(e.drains.commanded)) {
		if e.drains.commanded[name].Reason == e.unknownDrain() {
			held = append(held, name)
		}
	}
	if path := e.disk.savedDrains.Path; len(held) > 0 {
		out = append(out, driver.Finding{
			Name: "drains-unreadable", Level: driver.LevelError, Subject: path,
			Text: "the saved drains could not be read, so what was not announced stays withdrawn: " + strings.Join(held, ", "),
			Fix:  "keepcast resume those that may come back; the newest " + path + ".bad* may show which were drained",
		})
	}
	if e.drainError != nil {
		fix := "let keepcast read the directory; it looks again by itself"
		if errors.Is(e.drainError, fs.ErrNotExist) {
			fix = "make the directory again: what is in it then drains, and nothing else does; it looks again by itself"
		}
		out = append(out, driver.Finding{
			Name: "drain-directory", Level: driver.LevelError, Subject: e.cfg.DrainDir,
			Text: e.drainError.Error() + ": its drains stay as they were", Fix: fix,
		})
	}
	nothing := e.drainsNothing()
	for _, name := range slices.Sorted(maps.Keys(nothing)) {
		out = append(out, driver.Finding{
			Name: "drain-file", Level: driver.LevelWarning, Subject: filepath.Join(e.cfg.DrainDir, name),
			Text: "it drains nothing: " + nothing[name], Fix: "remove it; to drain, make a file that is named like a service",
		})
	}
	if waiting := e.waitingDrains(); len(waiting) > 0 {
		out = append(out, driver.Finding{
			Name: "drain-waiting", Level: driver.LevelInfo, Subject: e.disk.savedDrains.Path,
			Text: "services that left the configuration drained, and are drained when their addresses come back: " + strings.Join(waiting, ", "),
			Fix:  fmt.Sprintf("keepcast resume %q forgets that", waiting[0]),
		})
	}
	slices.SortFunc(out, driver.CompareFindings)
	e.found = out
}
