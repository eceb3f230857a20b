package checks

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func init() {
	register(Kind{
		Name: "redis",
		Doc: "Sends PING to a Redis or Valkey server, after AUTH if told, and looks at its role and at how old the data of a replica may be. " +
			"A server that still loads its data, can't save it, or is a replica that refuses to answer without its master is not fit. " +
			"Each run is a session of its own that ends with QUIT.",
		Example: "address: 127.0.0.1:6379\n",
		New:     func() Checker { return new(Redis) },
		AtOnce:  stopsListening,
	})
}

// Redis is fit when a server answers PING, and has the role and the fresh data that are
// asked for.
type Redis struct {
	Address      string        `config:"address" required:"true" doc:"Where the server listens: host and port, as in '127.0.0.1:6379' or '[::1]:6379', or the path of a unix socket, as in '/run/redis/redis-server.sock', which the account of keepcast has to be allowed to write to (unixsocketperm)."`
	Transport    string        `config:"transport" default:"tcp" enum:"tcp|tls" doc:"Plain TCP, or TLS from the start."`
	Username     string        `config:"username" doc:"User of an ACL to log in as. Without it, the password is that of the default user (requirepass). The user needs PING, and for 'role' and 'max_lag' INFO."`
	PasswordFile string        `config:"password_file" doc:"File with the password in its first line. It is read anew for each run."`
	Role         string        `config:"role" default:"any" enum:"any|master|replica" doc:"What the server has to be. A replica is fit only while its link to the master is up."`
	MaxLag       time.Duration `config:"max_lag" default:"0s" min:"0s" doc:"How long ago a replica may have heard from its master. With it, its link to the master may be down for as long. The master may be silent for its repl-ping-replica-period, 10s by default, so set more than that. 0s: does not matter."`
	TLS          TLS           `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`
}

func (r *Redis) at() endpoint { return endpoint{r.Address, r.Transport, r.TLS} }

// Validate implements Validator.
func (r *Redis) Validate() error {
	switch {
	case r.Username != "" && r.PasswordFile == "":
		return errors.New("username: only with password_file")
	case r.MaxLag != 0 && r.Role == "master":
		return errors.New("max_lag: only for a replica, not with role: master")
	}
	return r.at().validate()
}

// Target implements Aimed.
func (r *Redis) Target() netip.Addr { return r.at().target() }

// Host implements Hosted.
func (r *Redis) Host() func() ([]string, error) { return r.at().host(r.PasswordFile) }

// Check implements Checker.
func (r *Redis) Check(ctx context.Context) error {
	if err := r.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", r.Address, err)
	}
	return nil
}

func (r *Redis) talk(ctx context.Context) error {
	password, err := passwordIn(r.PasswordFile)
	if err != nil {
		return err
	}
	conn, err := r.at().connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	c := &redisConn{ctx: ctx, conn: conn, in: bufio.NewReader(io.LimitReader(conn, maxBody)), password: password}
	if err := r.ask(c); err != nil {
		return err
	}
	_ = c.send("QUIT") // whose answer would tell nothing more
	return nil
}

// ask asks all that there is to ask.
func (r *Redis) ask(c *redisConn) error {
	if c.password != "" {
		login := []string{"AUTH", c.password}
		if r.Username != "" {
			login = []string{"AUTH", r.Username, c.password}
		}
		if _, err := c.ask(login...); err != nil {
			return err
		}
	}
	pong, err := c.ask("PING")
	if err != nil {
		return err
	}
	if pong != "PONG" {
		return fmt.Errorf("PING: got %s, expected PONG", quoted(pong, c.password))
	}
	sight(c.ctx).saw("answer", "PONG")
	if r.Role != "master" && r.Role != "replica" && r.MaxLag == 0 {
		return nil
	}
	info, err := c.ask("INFO", "replication")
	if err != nil {
		return err
	}
	return r.judge(c.ctx, redisInfo(info))
}

// judge says what is wrong with the section replication of INFO.
func (r *Redis) judge(ctx context.Context, info map[string]string) error {
	role := info["role"]
	switch role {
	case "master":
	case "slave":
		role = "replica"
	default:
		return fmt.Errorf("INFO names no role, but %s", excerpt([]byte(role)))
	}
	sight(ctx).saw("role", "%s", role)
	if (r.Role == "master" || r.Role == "replica") && role != r.Role {
		return fmt.Errorf("the server is a %s, expected a %s", role, r.Role)
	}
	if role == "master" {
		return nil
	}
	return r.judgeLink(ctx, info)
}

// judgeLink says what is wrong with the link of a replica to its master.
func (r *Redis) judgeLink(ctx context.Context, info map[string]string) error {
	up, counter := info["master_link_status"] == "up", "master_last_io_seconds_ago"
	if !up {
		counter = "master_link_down_since_seconds"
	}
	// Both are -1 where there is nothing to tell.
	seconds, err := strconv.ParseInt(info[counter], 10, 32)
	lag, known := time.Duration(seconds)*time.Second, err == nil && seconds >= 0
	if known {
		sight(ctx).saw("lag", "heard from the master %s ago", lag)
	}
	tolerated := known && r.MaxLag != 0
	switch {
	case !up && !tolerated && info["master_sync_in_progress"] == "1":
		return errors.New("the replica is still being given the data of its master")
	case !up && !known:
		return errors.New("the replica has no link to its master, and never had one")
	case !up && !tolerated:
		return fmt.Errorf("the replica has had no link to its master for %s", lag)
	case !known && r.MaxLag != 0:
		return errors.New("INFO does not tell when the replica heard from its master")
	case tolerated && lag > r.MaxLag:
		return fmt.Errorf("the replica heard from its master %s ago, more than max_lag (%s)", lag, r.MaxLag)
	}
	return nil
}

// redisInfo reads the lines "name:value" of INFO.
func redisInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// redisConn speaks RESP2, the protocol of Redis.
type redisConn struct {
	ctx      context.Context
	conn     io.Writer
	in       *bufio.Reader
	password string // not to be shown, should the server repeat it
}

// ask sends a command and returns the answer. An error that the server answers is told in
// words.
func (c *redisConn) ask(command ...string) (string, error) {
	name := command[0]
	sight(c.ctx).waits("the answer to %s", name)
	// One that has no room for a client says so and closes: what it said counts more.
	failed := c.send(command...)
	answer, err := readRESP(c.in)
	if refused, ok := errors.AsType[redisError](err); ok {
		return "", fmt.Errorf("%s: %s: %s", name, refused.words(), quoted(string(refused), c.password))
	}
	if strange, ok := errors.AsType[notRESP](err); ok {
		return "", fmt.Errorf("%s: the answer is not of Redis: %s", name, quoted(string(strange), c.password))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, explain(c.ctx, cmp.Or(failed, err)))
	}
	return answer, nil
}

// send sends a command, as an array of bulk strings.
func (c *redisConn) send(command ...string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(command))
	for _, arg := range command {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(arg), arg)
	}
	_, err := io.WriteString(c.conn, out.String())
	return err
}

// redisError is what a server says instead of an answer: a code, and a text for people.
type redisError string

func (e redisError) Error() string { return string(e) }

// words says what a code means for an operator. The codes are those of Redis' server.c.
func (e redisError) words() string {
	code, _, _ := strings.Cut(string(e), " ")
	switch code {
	case "NOAUTH":
		return "the server wants a password (password_file)"
	case "WRONGPASS":
		return "the server does not take the password, or knows no such user"
	case "NOPERM":
		return "the user may not use this command"
	case "LOADING":
		return "the server still loads its data"
	case "MASTERDOWN":
		return "the replica answers nothing while its link to the master is down"
	case "MISCONF":
		return "the server can't save its data, and takes no writes"
	case "BUSY":
		return "the server is busy with a script"
	}
	return "the server refuses"
}

// notRESP is what came that is no answer of Redis.
type notRESP string

func (n notRESP) Error() string { return "no RESP: " + string(n) }

// readRESP reads a simple string, an integer or a bulk string; an error is returned as a
// redisError (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func readRESP(in *bufio.Reader) (string, error) {
	raw, err := in.ReadSlice('\n')
	line, whole := strings.CutSuffix(string(raw), "\r\n")
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		if line != "" && !strings.ContainsAny(line[:1], "+-:$") {
			return "", notRESP(line)
		}
		return "", err
	}
	if !whole || line == "" {
		return "", notRESP(line)
	}
	switch rest := line[1:]; line[0] {
	case '+', ':':
		return rest, nil
	case '-':
		return "", redisError(rest)
	case '$':
		n, err := strconv.ParseUint(rest, 10, 31)
		if err != nil || n > maxBody {
			return "", notRESP(line)
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return "", err
		}
		if bulk, ok := strings.CutSuffix(string(text), "\r\n"); ok {
			return bulk, nil
		}
	}
	return "", notRESP(line)
}
