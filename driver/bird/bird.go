// Package bird drives BIRD: it keeps a snippet with the gate loaded in a running
// daemon over its control socket, and asks there what is announced.
package bird

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/snippet"
)

// Kind is the kind of driver that a configuration names bird.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "bird",
		Doc: "Opens and shuts a gate in a running BIRD (2.0.7 and later, 3.x). keepcast writes a snippet that `bird.conf` " +
			"includes. It reconfigures BIRD over its control socket, and never starts or stops it. " +
			"The head of the snippet says how to include it and which filters it has ready. The snippet originates the `prefixes` of " +
			"the services, by routes that follow an address of the service.",
		Example:  "socket: /run/bird/bird.ctl\nsnippet: /var/lib/keepcast/bird.conf\nas: 65001\n",
		New:      func() driver.Driver { return new(Driver) },
		Template: driver.Template{Name: templateName, Doc: "The snippet of the driver `bird`.", Data: snippetData{}},
		Starter:  starter(),
		// What the gate lets through comes from a direct protocol, which has no route
		// without the address.
		Traits: driver.Traits{FollowsAddress: true, NeedsInterface: true},
	}
}

const (
	pollInterval       = 20 * time.Millisecond // how often is asked whether a reconfiguration is done
	reconfigureTimeout = time.Minute           // how long one may take; protocols with large tables take seconds to go down
)

// Driver keeps the gate of a BIRD daemon: which prefixes it may announce, and with
// which attributes. The addresses themselves are BIRD's to see on the interface.
type Driver struct {
	Socket  string        `config:"socket" default:"/run/bird/bird.ctl" doc:"BIRD's control socket. keepcast's user must be in the group that owns it."`
	Snippet string        `config:"snippet" default:"/var/lib/keepcast/bird.conf" doc:"The file that keepcast writes and that bird.conf includes. BIRD must be able to read it, and keepcast to write into its directory."`
	Timeout time.Duration `config:"timeout" default:"5s" min:"10ms" doc:"How long BIRD may take for one command. Reading a very long bird.conf is one command."`

	AS uint32 `config:"as" default:"0" min:"0" max:"4294967295" doc:"The own AS number, which the ready-made eBGP filter prepends to the path where prepend says so; 0 prepends nothing."`

	opts    driver.Options
	ctl     *ctl.Client
	desired driver.State // what was last asked for
	state   string       // the fingerprint of its snippet
	futile  futileLoad

	loaded   *stamp        // of the snippet when BIRD had it last; nil: the driver is new
	inForce  *driver.State // what BIRD was last found to run; nil: the driver is new
	conf     *string       // bird.conf, "" if BIRD did not tell it; nil: not asked yet
	includes includes
	checked  checkedFiles
	holders  driver.Holders
	disabled map[string]bool // protocols of prefixes, by the driver, since the last load
}

// futileLoad is a configure that was carried out, but did not bring the desired
// snippet in force. It is repeated only when the desired or the running snippet
// changes: each configure reloads whatever the operator's files hold, and undoes what
// birdc disabled.
type futileLoad struct{ desired, running string }

// Open implements driver.Opener.
func (b *Driver) Open(h driver.Options) { b.opts = h }

// Validate says what is wrong with the settings.
func (b *Driver) Validate() error {
	var errs []error
	for setting, path := range map[string]string{"socket": b.Socket, "snippet": b.Snippet} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\"\n") {
			errs = append(errs, fmt.Errorf("%s: %q is no absolute path that fits into bird.conf", setting, path))
		}
	}
	return errors.Join(errs...)
}

// Places implements driver.Examiner.
func (b *Driver) Places() driver.Places {
	return driver.Places{Files: []string{b.Snippet}, Sockets: []string{b.Socket}}
}

// Loadable implements driver.Renderer: Render checks what matters.
func (b *Driver) Loadable([]byte) error { return nil }

// Close ends the control connection.
func (b *Driver) Close() error {
	if b.ctl != nil {
		b.ctl.Close()
	}
	return nil
}

// Apply puts the snippet for a state in place and has BIRD load it. BIRD is left
// alone when it runs that very snippet. Where BIRD refuses its configuration,
// the old snippet is put back; where BIRD is not there, the new one stays, since
// it is what BIRD will read when it starts.
func (b *Driver) Apply(ctx context.Context, desired driver.State) error {
	text, state, err := b.render(desired)
	if err != nil {
		return err
	}
	b.desired, b.state = desired, state
	shut := b.shut(ctx) // before all that can fail or take its time
	untouched := !b.touched()
	_, restore, err := snippet.Write(b.Snippet, text, snippet.Public)
	if err != nil {
		return errors.Join(err, shut)
	}
	running, err := "", shut
	if err == nil {
		running, err = b.running(ctx)
	}
	if errors.Is(err, driver.ErrNotRunning) {
		b.nowLoaded()
		return fmt.Errorf("%w (the snippet is in place for when it starts)", err)
	}
	if err != nil {
		return err
	}
	if running == state && !b.touched() {
		return b.settled(ctx)
	}
	if b.futile == (futileLoad{state, running}) {
		return b.differs(running)
	}
	if err := b.mayLoad(ctx); err != nil && running != state {
		return err
	}
	atOnce, err := b.load(ctx)
	if ctl.RefusalCode(err) == ctl.CodeConfigError {
		err = b.blame(err, restore())
		if untouched {
			b.nowLoaded()
		}
		return err
	}
	if err != nil {
		return err
	}
	return b.verify(ctx, atOnce)
}

// settled notes that what is desired is in force.
func (b *Driver) settled(ctx context.Context) error {
	inForce := b.desired
	b.inForce = &inForce
	if err := b.open(ctx); err != nil {
		return err
	}
	return b.protocolsUp(ctx)
}

// verify asks whether the snippet that was last put in place is in force. If BIRD
// had to wait before it loaded the configuration, somebody may have undone that since:
// then the configuration is not to blame.
func (b *Driver) verify(ctx context.Context, atOnce bool) error {
	running, err := b.running(ctx)
	switch {
	case err != nil:
		return err
	case running != b.state && !atOnce:
		f := b.differs(running)
		if running != "" {
			f.Fix = "its reconfiguration was undone, or leaves that out"
		}
		return f
	case running != b.state:
		b.futile = futileLoad{b.state, running}
		return b.differs(running)
	}
	b.opts.Logger().Info("bird loaded the snippet", "snippet", b.Snippet, "state", b.state, "permitted", len(b.desired.Announced()))
	return b.settled(ctx)
}

// running returns the fingerprint of the snippet that BIRD runs, or "" if it
// runs none.
func (b *Driver) running(ctx context.Context) (string, error) {
	r, err := b.ask(ctx, "eval keepcast_state")
	if ctl.RefusalCode(err) == ctl.CodeSyntaxError {
		return "", nil
	}
	return r.Text(ctl.CodeValue), err
}

// blame adds to BIRD's complaint about its configuration whose it is, and what
// became of putting the old snippet back.
func (b *Driver) blame(err, undone error) error {
	var refused *ctl.Refusal
	if !errors.As(err, &refused) {
		return errors.Join(err, undone)
	}
	// BIRD writes FILE:LINE:COL, 2.0.2 wrote FILE, line N.
	file, _, _ := strings.Cut(refused.Text, ":")
	file, _, _ = strings.Cut(file, ",")
	whose := "bird's configuration is at fault outside of keepcast's snippet, correct it there"
	// A BIRD in a chroot knows only the end of the path.
	if filepath.IsAbs(file) && strings.HasSuffix(b.Snippet, file) {
		whose = "keepcast's snippet is at fault"
	}
	if undone != nil {
		return fmt.Errorf("%s: %w; bird cannot start like this, since putting the old snippet back: %w", whose, err, undone)
	}
	return fmt.Errorf("%s (the old snippet is back in place): %w", whose, err)
}

// load has BIRD check its whole configuration, then load it, and waits until it
// is done with that. It tells whether that was at once. A reconfiguration of somebody
// else's that is in progress comes to its end first: BIRD 3.3.2 may die of one that is
// queued behind another (an assertion in lib/event.c).
func (b *Driver) load(ctx context.Context) (atOnce bool, err error) {
	if err := b.awaitReconfigured(ctx); err != nil {
		return false, err
	}
	r, err := b.ask(ctx, "configure check")
	b.conf = new(configurationFile(r))
	if err != nil {
		return false, err
	}
	snippet := stampOf(b.Snippet)
	if r, err = b.ask(ctx, "configure"); err != nil {
		return false, err
	}
	b.loaded, b.disabled = &snippet, nil
	b.opts.Loaded()
	switch r.Code {
	case ctl.CodeReconfigured:
		return true, nil
	case ctl.CodeInProgress, ctl.CodeQueued:
		return false, b.awaitReconfigured(ctx)
	}
	return false, fmt.Errorf("bird did not load the configuration: %s (code %04d)", r.Text(r.Code), r.Code)
}

// awaitReconfigured waits for the end of a reconfiguration in progress, and of those that
// are queued behind it: BIRD goes from one to the next without a pause. How they
// ended is for verify to find out, BIRD does not say.
func (b *Driver) awaitReconfigured(ctx context.Context) error {
	late := fmt.Errorf("not done within %s: %w", reconfigureTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, reconfigureTimeout, late)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		r, err := b.ask(ctx, "show status")
		if err != nil {
			return err
		}
		switch what := r.Text(ctl.CodeStatus); what {
		case "Daemon is up and running":
			return nil
		case "Reconfiguration in progress":
		default:
			return fmt.Errorf("bird did not load the configuration: %s", what)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("bird's reconfiguration: %w", context.Cause(ctx))
		}
	}
}

// protocolsUp returns an error if a protocol of the snippet is down.
func (b *Driver) protocolsUp(ctx context.Context) error {
	r, err := b.ask(ctx, `show protocols "keepcast*"`)
	if ctl.RefusalCode(err) == ctl.CodeNoProtocol { // a template of the operator's may use other names
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range readProtocols(r) {
		if p.state == "down" && slices.Contains(ownProtocols(b.desired), p.name) {
			return protocolDisabled(p.name)
		}
	}
	return nil
}

func (b *Driver) ask(ctx context.Context, command string) (ctl.Reply, error) {
	if b.ctl == nil {
		b.ctl = &ctl.Client{Socket: b.Socket, Timeout: b.Timeout}
	}
	return b.ctl.Ask(ctx, command)
}
