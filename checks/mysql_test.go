package checks

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// packet writes a packet of MySQL.
func packet(sequence byte, payload string) string {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	head[3] = sequence
	return string(head) + payload
}

// greets writes the greeting of a server with these capabilities.
func greets(can uint32, plugin string) string {
	low := string(binary.LittleEndian.AppendUint16(nil, uint16(can)))
	high := string(binary.LittleEndian.AppendUint16(nil, uint16(can>>16)))
	return packet(0, "\x0a8.4.0\x00\x01\x00\x00\x0012345678\x00"+low+"\x2d\x02\x00"+high+"\x15"+strings.Repeat("\x00", 10)+"abcdefghijkl\x00"+plugin+"\x00")
}

const (
	mysqlCan  = mysqlProtocol41 | mysqlSaltedHash | mysqlPlugins
	mysqlIsIn = "\x00\x00\x00\x02\x00\x00\x00"
)

// answersQuery is what a server says to the query of the check.
func answersQuery(row string) string {
	return packet(1, "\x01") + packet(2, "\x03def a column") + packet(3, "\xfe\x00\x00\x02\x00") + packet(4, row) + packet(5, "\xfe\x00\x00\x02\x00")
}

func TestMySQL(t *testing.T) {
	secret := secretFile(t, "geheim")
	in := MySQL{User: "probe", PasswordFile: secret}
	native, caching := greets(mysqlCan, nativePassword), greets(mysqlCan, cachingSHA2)
	// after has a server greet, and then say something for each time it is written to.
	after := func(greeting string, texts ...string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, greeting)
			replies(texts...)(c)
		}
	}
	role := func(role string) MySQL { return MySQL{User: "probe", PasswordFile: secret, Role: role} }
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		mysql MySQL
		err   string
	}{
		"lets in nobody":     {serve: after(native, packet(2, mysqlIsIn))},
		"refuses nobody":     {serve: after(native, packet(2, "\xff\x15\x04#28000Access denied"))},
		"refuses, no plugin": {serve: after(native, packet(2, "\xff\xa2\x06#28000Access denied"))},
		"nobody, switched":   {serve: after(caching, packet(2, "\xfeother\x00salt"), packet(4, "\xff\x15\x04#28000Access denied"))},
		"broken, nobody":     {serve: after(native, packet(2, "\xff\x1d\x04#08S01Shutdown")), err: `ADDR: logging in as keepcast: the server refuses: error 1053: "Shutdown"`},
		"native":             {serve: after(native, packet(2, mysqlIsIn), answersQuery("\x010")), mysql: in},
		"caching, known":     {serve: after(caching, packet(2, "\x01\x03")+packet(3, mysqlIsIn), answersQuery("\x010")), mysql: in},
		"caching, unknown":   {serve: after(caching, packet(2, "\x01\x04")), mysql: in, err: "ADDR: logging in as probe: the server does not remember the password, which is sent over TLS or a unix socket only"},
		"switched":           {serve: after(caching, packet(2, "\xfemysql_native_password\x00abcdefghijklmnopqrst\x00"), packet(4, mysqlIsIn), answersQuery("\x010")), mysql: in},
		"in words":           {serve: after(native, packet(2, mysqlIsIn), answersQuery("\x03OFF")), mysql: role("writable")},
		"readonly, in words": {serve: after(native, packet(2, mysqlIsIn), answersQuery("\x07NO_LOCK")), mysql: role("readonly")},
		"hangs":              {serve: func(net.Conn) {}, err: "ADDR: greeting: timed out"},
		"hangs later":        {serve: after(native), err: "ADDR: logging in as keepcast: timed out"},
		"query hangs":        {serve: after(native, packet(2, mysqlIsIn), packet(1, "\x01")), mysql: in, err: "ADDR: SELECT @@global.read_only: timed out"},
		"closes":             {serve: says(""), err: "ADDR: greeting: closed by the other side"},
		"too many":           {serve: says(packet(0, "\xff\x10\x04Too many connections")), err: `ADDR: greeting: the server refuses: error 1040: "Too many connections"`},
		"password repeated":  {serve: after(native, packet(2, "\xff\x01\x04geheim")), mysql: in, err: `ADDR: logging in as probe: the server refuses: error 1025: "xxxxx"`},
		"short refusal":      {serve: says(packet(0, "\xff\x10")), err: `ADDR: greeting: the answer is not of MySQL: "` + "\uFFFD" + `\x10"`},
		"web":                {serve: says("HTTP/1.1 400 Bad Request\r\n\r\n"), err: `ADDR: greeting: the answer is not of MySQL: "HTTP"`},
		"mail":               {serve: says("220 mail\r\n"), err: `ADDR: greeting: the answer is not of MySQL: "220"`},
		"empty":              {serve: says("\x00\x00\x00\x00"), err: `ADDR: greeting: the answer is not of MySQL: "\x00\x00\x00\x00"`},
		"another version":    {serve: says(packet(0, "\x09old\x00")), err: `ADDR: greeting: the answer is not of MySQL: "old\x00"`},
		"old":                {serve: says(greets(mysqlSaltedHash, "")), err: `ADDR: greeting: the server (version "8.4.0") is older than keepcast knows`},
		"old passwords":      {serve: after(native, packet(2, "\xfe")), mysql: in, err: `ADDR: logging in as probe: the answer is not of MySQL: "` + "\uFFFD" + `"`},
		"no tls":             {serve: after(native), mysql: MySQL{Transport: "tls"}, err: "ADDR: the server speaks no TLS"},
		"hangs at TLS":       {serve: after(greets(mysqlCan|mysqlTLS, nativePassword)), mysql: MySQL{Transport: "tls"}, err: "ADDR: tls handshake: timed out"},
		"query refused":      {serve: after(native, packet(2, mysqlIsIn), packet(1, "\xff\x17\x04#08S01WSREP has not yet prepared node for application use")), mysql: in, err: `ADDR: SELECT @@global.read_only: the server refuses: error 1047: "WSREP has not yet prepared node for application use"`},
		"no columns":         {serve: after(native, packet(2, mysqlIsIn), packet(1, mysqlIsIn)), mysql: in, err: `ADDR: SELECT @@global.read_only: the answer is not of MySQL: "\x00\x00\x00\x02\x00\x00\x00"`},
		"other row":          {serve: after(native, packet(2, mysqlIsIn), answersQuery("\x012")), mysql: in, err: `ADDR: SELECT @@global.read_only: the answer is not of MySQL: "\x012"`},
		"no password file":   {serve: func(net.Conn) {}, mysql: MySQL{User: "a", PasswordFile: "/nonexistent"}, err: "ADDR: password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.mysql.Address = listen(t, tt.serve)
			checkOf(t, &tt.mysql, tt.err, tt.mysql.Address)
		})
	}
	closed := freeAddress(t)
	checkOf(t, &MySQL{Address: closed}, "ADDR: dial tcp ADDR: connect: connection refused", closed)
}

// Over a unix socket a password may be sent that MySQL does not remember.
func TestMySQLPlainPassword(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		defer close(got)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, greets(mysqlCan, cachingSHA2))
		readMySQL(c)
		io.WriteString(c, packet(2, "\x01\x04"))
		password, sequence, _ := readMySQL(c)
		got <- string(password)
		io.WriteString(c, packet(sequence+1, mysqlIsIn))
		readMySQL(c)
		io.WriteString(c, answersQuery("\x010"))
		readMySQL(c)
	}()
	defer func() { l.Close(); <-got }()
	checkOf(t, &MySQL{Address: path, User: "a", PasswordFile: secretFile(t, "geheim")}, "", "")
	if p := <-got; p != "geheim\x00" {
		t.Errorf("sent %q", p)
	}
}

// A session ends with a goodbye (COM_QUIT), which begins to count packets anew.
func TestMySQLGoodbye(t *testing.T) {
	for user, says := range map[string][]string{
		"probe": {packet(2, mysqlIsIn), answersQuery("\x010")},
		"":      {packet(2, mysqlIsIn)},
	} {
		last := make(chan string, 1)
		address := listen(t, func(c net.Conn) {
			io.WriteString(c, greets(mysqlCan, nativePassword))
			replies(says...)(c)
			rest, _ := io.ReadAll(c)
			last <- string(rest)
		})
		checkOf(t, &MySQL{Address: address, User: user}, "", "")
		if got := <-last; got != packet(0, "\x01") {
			t.Errorf("user %q: the last word is %q", user, got)
		}
	}
}

// A server that wants another way of proving the password has another salt for it, which ends
// with a NUL that is no part of it.
func TestMySQLSwitch(t *testing.T) {
	const salt = "ABCDEFGHIJKLMNOPQRST"
	proof := make(chan string, 1)
	address := listen(t, func(c net.Conn) {
		io.WriteString(c, greets(mysqlCan, cachingSHA2))
		readMySQL(c)
		io.WriteString(c, packet(2, "\xfe"+nativePassword+"\x00"+salt+"\x00"))
		got, sequence, _ := readMySQL(c)
		proof <- string(got)
		io.WriteString(c, packet(sequence+1, mysqlIsIn))
		replies(answersQuery("\x010"))(c)
	})
	checkOf(t, &MySQL{Address: address, User: "probe", PasswordFile: secretFile(t, "geheim")}, "", "")
	if want := string(nativeProof("geheim", []byte(salt))); <-proof != want {
		t.Error("the proof is another one")
	}
}

// The proofs are from Python's hashlib, by the formulas of the manuals.
func TestMySQLProof(t *testing.T) {
	salt := []byte("12345678abcdefghijkl")
	for name, tt := range map[string]struct {
		plugin, password, want string
	}{
		"native":            {nativePassword, "geheim", "780aabe5ac5083c5f9c16378040869d60d4ee8ef"},
		"caching":           {cachingSHA2, "geheim", "21193ec314484bffed05c9c3a81915a931beaede81607635810def1a3f1d6539"},
		"native, none":      {nativePassword, "", ""},
		"caching, none":     {cachingSHA2, "", ""},
		"whatever, no word": {"other", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := proofOf(tt.plugin, tt.password, salt)
			if err != nil || hex.EncodeToString(got) != tt.want {
				t.Errorf("got %x, %v", got, err)
			}
		})
	}
	if string(salt) != "12345678abcdefghijkl" {
		t.Error("the salt was changed")
	}
}

func TestMySQLValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		mysql MySQL
		err   string
	}{
		"good":           {mysql: MySQL{Address: "127.0.0.1:1", User: "a", PasswordFile: "/x", Role: "readonly"}},
		"greeting alone": {mysql: MySQL{Address: "/x", Role: "any"}},
		"address":        {mysql: MySQL{Address: "a"}, err: `address: "a" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"password alone": {mysql: MySQL{Address: "/x", PasswordFile: "/x"}, err: "password_file: only with user"},
		"role alone":     {mysql: MySQL{Address: "/x", Role: "writable"}, err: "role: only with user, who has to ask for it"},
		"user":           {mysql: MySQL{Address: "/x", User: "a\x00b"}, err: `user: "a\x00b" is no name of a user`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.mysql.Validate(), tt.err, "") })
	}
}

// TestMySQLSight shows what an operator sees of a run.
func TestMySQLSight(t *testing.T) {
	for name, tt := range map[string]struct {
		user    string
		replies []string
		want    []string
	}{
		"let in":  {"probe", []string{packet(2, mysqlIsIn), answersQuery("\x010")}, []string{`greeting: version "8.4.0"`, "answer: lets in probe", "role: writable"}},
		"refused": {"", []string{packet(2, "\xff\x15\x04#28000no")}, []string{`greeting: version "8.4.0"`, "answer: refuses a user that it need not know: error 1045"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sight
			c := &MySQL{User: tt.user, Address: listen(t, func(c net.Conn) {
				io.WriteString(c, greets(mysqlCan, nativePassword))
				replies(tt.replies...)(c)
			})}
			if err := c.Check(WithSight(within(t), &s)); err != nil {
				t.Error(err)
			}
			sameSight(t, &s, tt.want...)
		})
	}
}

// silent is a connection on which a server has said all that it says.
type silent struct {
	net.Conn
	io.Reader
}

func (silent) Write(p []byte) (int, error) { return len(p), nil }

func (s silent) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// FuzzMySQL has a server say anything.
func FuzzMySQL(f *testing.F) {
	hello := greets(mysqlCan, cachingSHA2)
	for _, seed := range []string{
		hello + packet(2, mysqlIsIn) + answersQuery("\x010"), hello + packet(2, "\x01\x03") + packet(3, mysqlIsIn),
		hello + packet(2, "\xfemysql_native_password\x00salt\x00") + packet(4, "\xff\x15\x04#28000no"), packet(0, "\xff\x10\x04no"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		c := &mysqlConn{ctx: context.Background(), user: "a", password: "geheim"}
		c.over(silent{Reader: bytes.NewReader(said)})
		if c.login(nil) != nil {
			return
		}
		if role, err := c.role(); err == nil && role != "writable" && role != "readonly" {
			t.Errorf("%q is a %q", said, role)
		}
	})
}
