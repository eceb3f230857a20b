package checks

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
)

// filled returns a check of a server, with the defaults.
func (p Postgres) filled(at string) *Postgres {
	p.Address = at
	if p.User == "" {
		p.User = "postgres"
	}
	if p.Database == "" {
		p.Database = "postgres"
	}
	return &p
}

// pg writes a message as a server does.
func pg(kind byte, body string) string {
	return string(kind) + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

// pgAsks writes a request for authentication.
func pgAsks(request uint32, data string) string {
	return pg('R', string(binary.BigEndian.AppendUint32(nil, request))+data)
}

const (
	pgReady  = "Z\x00\x00\x00\x05I"
	pgFalse  = "D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01f"
	pgTrue   = "D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01t"
	pgLogged = "R\x00\x00\x00\x08\x00\x00\x00\x00"
)

func TestPostgres(t *testing.T) {
	secret := secretFile(t, "geheim")
	for name, tt := range map[string]struct {
		serve    func(net.Conn)
		postgres Postgres
		err      string
	}{
		"fit":               {serve: replies(pgLogged+pgReady, "T\x00\x00\x00\x04"+pgFalse+"C\x00\x00\x00\x04"+pgReady)},
		"standby":           {serve: replies(pgLogged+pgReady, pgTrue+pgReady), postgres: Postgres{Role: "standby"}},
		"asks":              {serve: replies(pgAsks(pgMD5, "salt"))},
		"asks for Kerberos": {serve: replies(pgAsks(7, "")), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server wants authentication of type 7, which keepcast does not know"},
		"hangs":             {serve: func(net.Conn) {}, err: "ADDR: waiting for an answer: timed out"},
		"stops":             {serve: replies(pgLogged), err: "ADDR: waiting for an answer: timed out"},
		"hangs at TLS":      {serve: func(net.Conn) {}, postgres: Postgres{Transport: "tls"}, err: "ADDR: asking for TLS: timed out"},
		"closes":            {serve: says(""), err: "ADDR: waiting for an answer: closed by the other side"},
		"starting":          {serve: replies(pg('E', "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00")), err: `ADDR: the server refuses: error 57P03: "the database system is starting up"`},
		"strange error":     {serve: replies(pg('E', "Cgeheim\x00Mno geheim\x00\x00")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: the server refuses: error unknown: "no xxxxx"`},
		"empty error":       {serve: replies(pg('E', "\x00")), err: `ADDR: the server refuses: error unknown: ""`},
		"web":               {serve: replies("HTTP/1.1 400 Bad Request\r\n\r\n"), err: `ADDR: the answer is not of PostgreSQL: "HTTP/"`},
		"mail":              {serve: says("220 mail\r\n"), err: `ADDR: the answer is not of PostgreSQL: "220 m"`},
		"short":             {serve: says("no\r\n"), err: `ADDR: the answer is not of PostgreSQL: "no\r\n\x00"`},
		"too short":         {serve: says("R\x00\x00\x00\x03\x00"), err: `ADDR: the answer is not of PostgreSQL: "R\x00\x00\x00\x03"`},
		"no request":        {serve: replies(pg('R', "\x00")), err: `ADDR: the answer is not of PostgreSQL: message 'R'`},
		"another message":   {serve: replies(pg('A', "")), err: `ADDR: the answer is not of PostgreSQL: message 'A'`},
		"broken query":      {serve: replies(pgLogged+pgReady, pg('E', "SERROR\x00C58030\x00Mcould not read\x00\x00")+pgReady), err: `ADDR: SELECT pg_is_in_recovery(): the server refuses: error 58030: "could not read"`},
		"no row":            {serve: replies(pgLogged+pgReady, pgReady), err: "ADDR: SELECT pg_is_in_recovery(): no answer that is true or false"},
		"other row":         {serve: replies(pgLogged+pgReady, pg('D', "\x00\x01\x00\x00\x00\x01x")+pgReady), err: "ADDR: SELECT pg_is_in_recovery(): no answer that is true or false"},
		"query hangs":       {serve: replies(pgLogged + pgReady), err: "ADDR: SELECT pg_is_in_recovery(): waiting for an answer: timed out"},
		"no proof":          {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"), pgLogged+pgReady), postgres: Postgres{PasswordFile: secret}, err: "ADDR: the server did not prove that it knows the password"},
		"wrong proof":       {serve: scramServer("wrong"), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server did not prove that it knows the password"},
		"proof":             {serve: scramServer("geheim"), postgres: Postgres{PasswordFile: secret}},
		"proof too soon":    {serve: replies(pgAsks(pgSASLFinal, "v=")), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server did not prove that it knows the password"},
		"only GSS":          {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-512\x00\x00")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: logging in as postgres: the server offers no SCRAM-SHA-256, but "SCRAM-SHA-512"`},
		"other nonce":       {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"), pgAsks(pgSASLContinue, "r=a,s=YQ==,i=1")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: logging in as postgres: the challenge of the server makes no sense: "r=a,s=YQ==,i=1"`},
		"no password file":  {serve: func(net.Conn) {}, postgres: Postgres{PasswordFile: "/nonexistent"}, err: "ADDR: password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.postgres.filled(listen(t, tt.serve))
			checkOf(t, c, tt.err, c.Address)
		})
	}
	closed := freeAddress(t)
	checkOf(t, &Postgres{Address: closed}, "ADDR: dial tcp ADDR: connect: connection refused", closed)
}

// scramServer lets everybody in, and proves that it knows a password.
func scramServer(password string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		begin := make([]byte, 4)
		if _, err := io.ReadFull(in, begin); err != nil {
			return
		}
		in.Discard(int(binary.BigEndian.Uint32(begin)) - 4)
		io.WriteString(c, pgAsks(pgSASL, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"))
		_, first, _ := readPg(in)
		_, nonce, _ := strings.Cut(string(first), "r=")
		challenge := "r=" + nonce + rand.Text() + ",s=c2FsdA==,i=4096"
		io.WriteString(c, pgAsks(pgSASLContinue, challenge))
		if _, _, err := readPg(in); err != nil {
			return
		}
		twin := scram{nonce: nonce}
		twin.final(challenge, password)
		io.WriteString(c, pgAsks(pgSASLFinal, "v="+base64.StdEncoding.EncodeToString(twin.signature))+pgLogged+pgReady)
		readPg(in)
		io.WriteString(c, pgFalse+pgReady)
	}
}

// The exchange is that of RFC 7677 section 3, with its user.
func TestScram(t *testing.T) {
	s := scram{nonce: "rOprNGfwEbeRWgbNEkqO"}
	got, err := s.final("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "pencil")
	if err != nil {
		t.Fatal(err)
	}
	// The RFC has n=user, PostgreSQL leaves it empty: so the proof is another one.
	if want := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="; !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
	for name, challenge := range map[string]string{
		"nothing":          "",
		"our nonce alone":  "r=rOprNGfwEbeRWgbNEkqO,s=YQ==,i=4096",
		"no salt":          "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
		"no base64":        "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
		"no iteration":     "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=0",
		"no end":           "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=1000001",
		"too many numbers": "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=99999999999999999999",
	} {
		if _, err := s.final(challenge, "pencil"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestPostgresValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		postgres Postgres
		err      string
	}{
		"good":        {postgres: Postgres{Address: "127.0.0.1:1"}},
		"directory":   {postgres: Postgres{Address: "/run/postgresql"}},
		"address":     {postgres: Postgres{Address: "a"}, err: `address: "a" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"too long":    {postgres: Postgres{Address: "/" + strings.Repeat("a", 100)}, err: `address: "/` + strings.Repeat("a", 100) + `/.s.PGSQL.5432" is longer than the 107 bytes that a unix socket may have`},
		"user":        {postgres: Postgres{Address: "/x", User: "a\x00b"}, err: `user: "a\x00b" is no name of a user`},
		"database":    {postgres: Postgres{Address: "/x", Database: "a\x00b"}, err: `database: "a\x00b" is no name of a database`},
		"no user":     {postgres: Postgres{Address: "/x", User: "-"}, err: `user: "" is no name of a user`},
		"no database": {postgres: Postgres{Address: "/x", Database: "-"}, err: `database: "" is no name of a database`},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.postgres.filled(tt.postgres.Address)
			c.User, c.Database = strings.TrimPrefix(c.User, "-"), strings.TrimPrefix(c.Database, "-")
			sameError(t, c.Validate(), tt.err, "")
		})
	}
	for address, want := range map[string]string{
		"/run/postgresql":               "/run/postgresql/.s.PGSQL.5432",
		"/run/postgresql/":              "/run/postgresql/.s.PGSQL.5432",
		"/run/postgresql/.s.PGSQL.5433": "/run/postgresql/.s.PGSQL.5433",
		"127.0.0.1:5432":                "127.0.0.1:5432",
	} {
		if got := (&Postgres{Address: address}).at().address; got != want {
			t.Errorf("%s: got %s", address, got)
		}
	}
}

// TestPostgresSight shows what an operator sees of a run.
func TestPostgresSight(t *testing.T) {
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		want  []string
	}{
		"let in": {
			replies(pgLogged+pg('S', "server_version\x0015.18 (Debian)\x00")+pg('N', "\x00")+pg('K', "12345678")+pgReady, pgFalse+pgReady),
			[]string{`version: "15.18 (Debian)"`, "answer: ready for queries of postgres", "role: primary"},
		},
		"asked": {replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00")), []string{"answer: asks for a password of postgres"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sight
			if err := (Postgres{}).filled(listen(t, tt.serve)).Check(WithSight(within(t), &s)); err != nil {
				t.Error(err)
			}
			sameSight(t, &s, tt.want...)
		})
	}
}

// A session ends with a goodbye (Terminate); where a password is asked for, without a word.
func TestPostgresGoodbye(t *testing.T) {
	for name, tt := range map[string]struct {
		says []string
		want string
	}{
		"let in": {[]string{pgLogged + pgReady, pgFalse + pgReady}, "X\x00\x00\x00\x04"},
		"asked":  {[]string{pgAsks(pgMD5, "salt")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			last := make(chan string, 1)
			address := listen(t, func(c net.Conn) {
				replies(tt.says...)(c)
				rest, _ := io.ReadAll(c)
				last <- string(rest)
			})
			checkOf(t, (Postgres{}).filled(address), "", "")
			if got := <-last; got != tt.want {
				t.Errorf("the last word is %q", got)
			}
		})
	}
}

// FuzzPostgres has a server say anything, as an answer and as a challenge.
func FuzzPostgres(f *testing.F) {
	for _, seed := range []string{
		pgLogged + pgReady, pg('E', "C57P03\x00Mstarting\x00\x00"), pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"),
		pgAsks(pgMD5, "salt") + pgLogged + pgReady + pgTrue + pgReady, "r=a,s=YQ==,i=1", pg('S', "server_version\x001\x00"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		c := &pgConn{ctx: t.Context(), conn: io.Discard, in: bufio.NewReader(bytes.NewReader(said)), user: "a", password: "geheim"}
		admitted, err := c.start("a")
		if admitted && !bytes.Contains(said, []byte(pgReady[:4])) {
			t.Errorf("admitted by %q", said)
		}
		if err == nil && admitted {
			c.role()
		}
		s := scram{nonce: "a"}
		if _, err := s.final("i=1,"+string(said), ""); err == nil && s.signature == nil {
			t.Errorf("no signature for %q", said)
		}
		s.verify(string(said))
	})
}
