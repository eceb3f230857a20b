package checks

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
