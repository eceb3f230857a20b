package checks

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// redisServer starts Debian's redis-server on a free port, with its socket in a directory, and
// returns its address and the directory.
func redisServer(t *testing.T, options ...string) (address, dir string, log *drivertest.Buffer) {
	t.Helper()
	program, as := drivertest.Program(t, "redis-server"), accountOf(t, "redis")
	address, dir = freeAddress(t), as.dir(t)
	log = as.start(t, program, append([]string{
		"--bind", "127.0.0.1", "--port", portOf(address), "--dir", dir, "--unixsocket", dir + "/s", "--appendonly", "no",
	}, options...)...)
	return address, dir, log
}

// redisSays sends a command to a server, waits until it takes connections, and returns its
// answer.
func redisSays(t *testing.T, address string, command ...string) string {
	t.Helper()
	var conn net.Conn
	drivertest.Eventually(t, "redis-server listens", func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", address)
		return err == nil
	})
	defer conn.Close()
	c := &redisConn{ctx: within(t), conn: conn, in: bufio.NewReader(conn)}
	answer, err := c.ask(command...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestRedisServer(t *testing.T) {
	noLeaks(t)
	as := accountOf(t, "redis")
	cert, key := as.pair(t)
	secure := freeAddress(t)
	open, dir, log := redisServer(t, "--save", "", "--repl-diskless-sync-delay", "0",
		"--tls-port", portOf(secure), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	fitAtLast(t, &Redis{Address: open})
	locked, _, _ := redisServer(t, "--requirepass", "geheim", "--user", "probe", "on", ">other", "+ping", "+info", "--user", "mute", "on", ">other", "-@all")
	file, other := secretFile(t, "geheim\n"), secretFile(t, "other\n")
	fitAtLast(t, &Redis{Address: locked, PasswordFile: file})
	port := portOf(open)
	replica, _, _ := redisServer(t, "--replicaof", "127.0.0.1", port)
	fitAtLast(t, &Redis{Address: replica, Role: "replica", MaxLag: time.Minute})
	nobody := freeAddress(t)
	orphan, _, _ := redisServer(t, "--replicaof", "127.0.0.1", portOf(nobody))
	strict, _, _ := redisServer(t, "--replicaof", "127.0.0.1", portOf(nobody), "--replica-serve-stale-data", "no")
	for _, address := range []string{orphan, strict} {
		redisSays(t, address, "INFO")
	}
	before := log.String()
	for name, tt := range map[string]struct {
		at    string
		redis Redis
		err   string
	}{
		"open":         {at: open},
		"socket":       {at: dir + "/s"},
		"tls":          {at: secure, redis: Redis{Transport: "tls", TLS: TLS{CA: cert}}},
		"tls, to tcp":  {at: open, redis: Redis{Transport: "tls", TLS: TLS{CA: cert}}, err: "ADDR: tls handshake: timed out"},
		"password":     {at: locked, redis: Redis{PasswordFile: file, Role: "master"}},
		"user":         {at: locked, redis: Redis{PasswordFile: other, Username: "probe", Role: "master"}},
		"no password":  {at: locked, err: `ADDR: PING: the server wants a password (password_file): "NOAUTH Authentication required."`},
		"wrong":        {at: locked, redis: Redis{PasswordFile: other}, err: `ADDR: AUTH: the server does not take the password, or knows no such user: "WRONGPASS invalid username-password pair or user is disabled."`},
		"no such user": {at: locked, redis: Redis{PasswordFile: other, Username: "nobody"}, err: `ADDR: AUTH: the server does not take the password, or knows no such user: "WRONGPASS invalid username-password pair or user is disabled."`},
		"no rights":    {at: locked, redis: Redis{PasswordFile: other, Username: "mute"}, err: `ADDR: PING: the user may not use this command: "NOPERM this user has no permissions to run the 'ping' command"`},
		"not wanted":   {at: open, redis: Redis{PasswordFile: other}, err: `ADDR: AUTH: the server refuses: "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is corr"...`},

		"master":                {at: open, redis: Redis{Role: "master"}},
		"master, any lag":       {at: open, redis: Redis{MaxLag: time.Second}},
		"master, not replica":   {at: open, redis: Redis{Role: "replica"}, err: "ADDR: the server is a master, expected a replica"},
		"replica":               {at: replica, redis: Redis{Role: "replica"}},
		"replica, not master":   {at: replica, redis: Redis{Role: "master"}, err: "ADDR: the server is a replica, expected a master"},
		"orphan":                {at: orphan},
		"orphan, replica":       {at: orphan, redis: Redis{Role: "replica"}, err: "ADDR: the replica has no link to its master, and never had one"},
		"orphan, lag":           {at: orphan, redis: Redis{MaxLag: time.Hour}, err: "ADDR: the replica has no link to its master, and never had one"},
		"orphan, not answering": {at: strict, err: `ADDR: PING: the replica answers nothing while its link to the master is down: "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."`},
	} {
		t.Run(name, func(t *testing.T) {
			tt.redis.Address = tt.at
			checkOf(t, &tt.redis, tt.err, tt.at)
		})
	}
	if after := log.String(); strings.Contains(after[len(before):], "lient") {
		t.Errorf("the server logs the checks: %s", after[len(before):])
	}
	drivertest.Eventually(t, "no session is left behind", func() bool {
		return strings.Contains(redisSays(t, open, "INFO", "clients"), "\nconnected_clients:1\r\n")
	})
	hangs(t, "redis-server", (&Redis{Address: open}).Check, "ADDR: PING: timed out", open)
	dies(t, "redis-server", (&Redis{Address: open}).Check)
}

// A server that can't save its data says so instead of PONG.
func TestRedisCannotSave(t *testing.T) {
	address, dir, _ := redisServer(t, "--save", "3600 1")
	c := &Redis{Address: address}
	fitAtLast(t, c)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	redisSays(t, address, "BGSAVE")
	const want = `ADDR: PING: the server can't save its data, and takes no writes: "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modif"...`
	var err error
	drivertest.WaitFor(func() bool { err = c.Check(within(t)); return err != nil })
	sameError(t, err, want, address)
}

// A server that starts answers nothing before it has loaded its data.
func TestRedisLoads(t *testing.T) {
	first, dir, _ := redisServer(t, "--enable-debug-command", "yes")
	redisSays(t, first, "DEBUG", "POPULATE", "2000")
	redisSays(t, first, "SAVE")
	data, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	as := accountOf(t, "redis")
	again := as.dir(t)
	drivertest.WriteFile(t, filepath.Join(again, "dump.rdb"), string(data))
	second := freeAddress(t)
	// A hundredth of a second for each key; it looks for clients after each KiB.
	as.start(t, drivertest.Program(t, "redis-server"), "--bind", "127.0.0.1", "--port", portOf(second), "--dir", again,
		"--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
	redisSays(t, second, "INFO") // which it answers meanwhile
	err = (&Redis{Address: second}).Check(within(t))
	sameError(t, err, `ADDR: PING: the server still loads its data: "LOADING Redis is loading the dataset in memory"`, second)
}
