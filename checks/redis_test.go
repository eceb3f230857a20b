package checks

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// bulk writes a text as Redis does.
func bulk(text string) string { return "$" + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n" }

func TestRedis(t *testing.T) {
	secret := secretFile(t, "geheim")
	const masterInfo = "role:master\r\nconnected_slaves:0\r\n"
	info := func(text string) func(net.Conn) { return replies("+PONG\r\n", bulk(text), "+OK\r\n") }
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		redis Redis
		err   string
	}{
		"fit":                {serve: replies("+PONG\r\n", "+OK\r\n")},
		"no word to QUIT":    {serve: replies("+PONG\r\n")},
		"role":               {serve: info(masterInfo), redis: Redis{Role: "master"}},
		"hangs":              {serve: func(net.Conn) {}, err: "ADDR: PING: timed out"},
		"stops":              {serve: replies("+PON"), err: "ADDR: PING: timed out"},
		"closes":             {serve: says(""), err: "ADDR: PING: closed by the other side"},
		"full":               {serve: says("-ERR max number of clients reached\r\n"), err: `ADDR: PING: the server refuses: "ERR max number of clients reached"`},
		"other answer":       {serve: replies("+PING\r\n"), err: `ADDR: PING: got "PING", expected PONG`},
		"busy":               {serve: replies("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"), err: `ADDR: PING: the server is busy with a script: "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."`},
		"web":                {serve: replies("HTTP/1.1 400 Bad Request\r\n\r\n"), err: `ADDR: PING: the answer is not of Redis: "HTTP/1.1 400 Bad Request"`},
		"mail":               {serve: says("220 mail\r\n"), err: `ADDR: PING: the answer is not of Redis: "220 mail"`},
		"garbage":            {serve: says("\x00\xff"), err: `ADDR: PING: the answer is not of Redis: "\x00` + "\uFFFD" + `"`},
		"flood":              {serve: says(strings.Repeat("a", 10000)), err: `ADDR: PING: the answer is not of Redis: "` + strings.Repeat("a", 120) + `"...`},
		"password repeated":  {serve: replies("-ERR unknown command `AUTH`, with args beginning with: `geheim`,\r\n"), redis: Redis{PasswordFile: secret}, err: "ADDR: AUTH: the server refuses: \"ERR unknown command `AUTH`, with args beginning with: `xxxxx`,\""},
		"password in PONG":   {serve: replies("+OK\r\n", "+geheim\r\n"), redis: Redis{PasswordFile: secret}, err: `ADDR: PING: got "xxxxx", expected PONG`},
		"password in noise":  {serve: replies("geheim\r\n"), redis: Redis{PasswordFile: secret}, err: `ADDR: AUTH: the answer is not of Redis: "xxxxx"`},
		"no password file":   {serve: func(net.Conn) {}, redis: Redis{PasswordFile: "/nonexistent"}, err: "ADDR: password_file: open /nonexistent: no such file or directory"},
		"no role":            {serve: info("loading:0\r\n"), redis: Redis{Role: "master"}, err: `ADDR: INFO names no role, but ""`},
		"huge":               {serve: replies("+PONG\r\n", "$999999999\r\n"), redis: Redis{Role: "master"}, err: `ADDR: INFO: the answer is not of Redis: "$999999999"`},
		"syncing":            {serve: info("role:slave\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_link_down_since_seconds:-1\r\n"), redis: Redis{Role: "replica"}, err: "ADDR: the replica is still being given the data of its master"},
		"link down":          {serve: info("role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\nmaster_link_down_since_seconds:7\r\n"), redis: Redis{Role: "replica"}, err: "ADDR: the replica has had no link to its master for 7s"},
		"link down, borne":   {serve: info("role:slave\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_link_down_since_seconds:7\r\n"), redis: Redis{Role: "replica", MaxLag: 7 * time.Second}},
		"link down too long": {serve: info("role:slave\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:8\r\n"), redis: Redis{MaxLag: 7 * time.Second}, err: "ADDR: the replica heard from its master 8s ago, more than max_lag (7s)"},
		"lag":                {serve: info("role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:61\r\n"), redis: Redis{MaxLag: time.Minute}, err: "ADDR: the replica heard from its master 1m1s ago, more than max_lag (1m0s)"},
		"lag, not asked for": {serve: info("role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:61\r\n"), redis: Redis{Role: "replica"}},
		"lag not told":       {serve: info("role:slave\r\nmaster_link_status:up\r\n"), redis: Redis{MaxLag: time.Minute}, err: "ADDR: INFO does not tell when the replica heard from its master"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.redis.Address = listen(t, tt.serve)
			checkOf(t, &tt.redis, tt.err, tt.redis.Address)
		})
	}
	closed := freeAddress(t)
	checkOf(t, &Redis{Address: closed}, "ADDR: dial tcp ADDR: connect: connection refused", closed)
}

func TestRedisValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		redis Redis
		err   string
	}{
		"good":       {redis: Redis{Address: "127.0.0.1:1", Username: "a", PasswordFile: "/x", Role: "replica", MaxLag: 1}},
		"address":    {redis: Redis{Address: "a"}, err: `address: "a" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"user alone": {redis: Redis{Address: "/x", Username: "a"}, err: "username: only with password_file"},
		"lag":        {redis: Redis{Address: "/x", Role: "master", MaxLag: 1}, err: "max_lag: only for a replica, not with role: master"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.redis.Validate(), tt.err, "") })
	}
}

// TestRedisSight shows what an operator sees of a run, whom the password is no part of.
func TestRedisSight(t *testing.T) {
	var s Sight
	c := &Redis{
		PasswordFile: secretFile(t, "geheim"), MaxLag: time.Minute,
		Address: listen(t, replies("+OK\r\n", "+PONG\r\n", bulk("role:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n"))),
	}
	ctx, cancel := context.WithCancel(WithSight(within(t), &s))
	defer cancel()
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	sameSight(t, &s, "answer: PONG", "role: replica", "lag: heard from the master 3s ago")
}

// noWrite is a connection that the server has closed already.
type noWrite struct{}

func (noWrite) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// What a server said before it closed counts more than that it closed.
func TestRedisLastWord(t *testing.T) {
	for said, want := range map[string]string{
		"-ERR max number of clients reached\r\n": `PING: the server refuses: "ERR max number of clients reached"`,
		"":                                       "PING: broken pipe",
	} {
		c := &redisConn{ctx: t.Context(), conn: noWrite{}, in: bufio.NewReader(strings.NewReader(said))}
		_, err := c.ask("PING")
		sameError(t, err, want, "")
	}
}

// FuzzRESP looks for an answer that is read and is not what the server sent, and for one
// that is not bounded.
func FuzzRESP(f *testing.F) {
	for _, seed := range []string{"+PONG\r\n", "-NOAUTH Authentication required.\r\n", ":1\r\n", "$4\r\nrole\r\n", "$-1\r\n", "*1\r\n$1\r\na\r\n", "$4\r\nroleaa"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		answer, err := readRESP(bufio.NewReader(strings.NewReader(said)))
		if err == nil && !strings.Contains(said, answer+"\r\n") {
			t.Errorf("%q became %q", said, answer)
		}
		redisInfo(said)
	})
}
