package control

import (
	"errors"
	"os/user"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// Nobody knew which of the operators had drained a host: the log and the status name the
// user who gave the command.
func TestOrderedBy(t *testing.T) {
	e := &fakeEngine{}
	socket, err := Listen(t.Context(), filepath.Join(drivertest.SocketDir(t), "keepcast.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var log drivertest.Buffer
	runs(t, &Server{Engine: e, Reload: e.reload, Socket: socket, Log: textLog(&log)})
	c := Client{Socket: socket.Addr().String()}
	if _, err := c.Drain(t.Context(), api.DrainRequest{Services: []string{"dns"}}); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if e.by != me.Username {
		t.Errorf("by %q, want %q", e.by, me.Username)
	}
	if _, err := c.Resume(t.Context(), api.ResumeRequest{Services: []string{"dns"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckNow(t.Context(), api.CheckNowRequest{Services: []string{"dns/a"}}); err != nil {
		t.Fatal(err)
	}
	const want = "level=INFO msg=\"resume ordered\" services=[dns] all=false by=ME\nlevel=INFO msg=\"reload ordered\" by=ME\n" +
		"level=INFO msg=\"check ordered\" checks=[dns/a] all=false by=ME\n"
	if got := lines(log.String()); got != replaced(want, "ME", me.Username) {
		t.Errorf("got %s", got)
	}
}

// A directory of users that hangs held up a drain for as long: the number will do.
func TestUserNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		u := users{func(uid string) (*user.User, error) {
			switch uid {
			case "0":
				return &user.User{Username: "root"}, nil
			case "1":
				return nil, errors.New("unknown")
			}
			<-answers
			return &user.User{Username: "alice"}, nil
		}, make(chan struct{}, 1)}
		for _, tt := range []struct {
			uid, want string
			took      time.Duration
		}{
			{"0", "root", 0},
			{"1", "uid 1", 0},
			{"2", "uid 2", lookUpLimit},
			{"0", "uid 0", lookUpLimit}, // the look-up before has not ended
		} {
			begun := time.Now()
			if got := u.name(tt.uid); got != tt.want || time.Since(begun) != tt.took {
				t.Errorf("%s: got %s after %s, want %s after %s", tt.uid, got, time.Since(begun), tt.want, tt.took)
			}
		}
		close(answers)
		synctest.Wait()
		if got := u.name("2"); got != "alice" {
			t.Errorf("got %s once it answers", got)
		}
	})
}
