package checks

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// snmpAgent answers on loopback as change has it, to the community public.
func snmpAgent(t *testing.T, change func(*gosnmp.SnmpPacket)) string {
	t.Helper()
	return byDatagram(t, func(asked []byte) []byte {
		p, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(asked)
		if err != nil || p.Community != "public" {
			return nil
		}
		p.PDUType = gosnmp.GetResponse
		change(p)
		answer, err := p.MarshalMsg()
		if err != nil {
			t.Error(err)
		}
		return answer
	})
}

// snmpValue answers with a value.
func snmpValue(kind gosnmp.Asn1BER, value any) func(*gosnmp.SnmpPacket) {
	return func(p *gosnmp.SnmpPacket) { p.Variables[0].Type, p.Variables[0].Value = kind, value }
}

const (
	snmpUptime       = "1.3.6.1.2.1.1.3.0"
	snmpNotAuthentic = "ADDR: the answer is not authenticated, as of an agent that does not know the user with this auth_password_file, auth_protocol and privacy"
	snmpSilent       = "ADDR: no answer, as of an agent that does not know the community or does not let this host ask: timed out"
)

func TestSNMP(t *testing.T) {
	number := func(f float64) *float64 { return &f }
	for name, tt := range map[string]struct {
		change func(*gosnmp.SnmpPacket)
		snmp   SNMP
		err    string
	}{
		"ticks":         {snmpValue(gosnmp.TimeTicks, uint32(5)), SNMP{Min: number(5), Max: number(5)}, ""},
		"below":         {snmpValue(gosnmp.Integer, -3), SNMP{Min: number(-2.5)}, "ADDR: 1.3.6.1.2.1.1.3.0: -3 is less than min, -2.5"},
		"above":         {snmpValue(gosnmp.Counter64, uint64(1<<63)), SNMP{Max: number(10)}, "ADDR: 1.3.6.1.2.1.1.3.0: 9223372036854775808 is more than max, 10"},
		"gauge":         {snmpValue(gosnmp.Gauge32, uint32(1<<31)), SNMP{Expect: regexp.MustCompile("^2147483648$")}, ""},
		"text":          {snmpValue(gosnmp.OctetString, "rack 7"), SNMP{Expect: regexp.MustCompile("^rack")}, ""},
		"other text":    {snmpValue(gosnmp.OctetString, "rack 7"), SNMP{Expect: regexp.MustCompile("^$")}, `ADDR: 1.3.6.1.2.1.1.3.0: no match for '^$' in "rack 7"`},
		"number":        {snmpValue(gosnmp.OctetString, " 7.5\n"), SNMP{Min: number(7.5), Max: number(7.5)}, ""},
		"no number":     {snmpValue(gosnmp.OctetString, "NaN"), SNMP{Min: number(7)}, `ADDR: 1.3.6.1.2.1.1.3.0: "NaN" is no number`},
		"oid":           {snmpValue(gosnmp.ObjectIdentifier, ".1.3.6.1"), SNMP{Expect: regexp.MustCompile(`^1\.3\.6\.1$`)}, ""},
		"address":       {snmpValue(gosnmp.IPAddress, "192.0.2.1"), SNMP{Expect: regexp.MustCompile(`^192\.0\.2\.1$`)}, ""},
		"null":          {snmpValue(gosnmp.Null, nil), SNMP{}, "ADDR: the agent has no value for 1.3.6.1.2.1.1.3.0, or does not show it (Null)"},
		"with a dot":    {snmpValue(gosnmp.Integer, 1), SNMP{OID: "." + snmpUptime}, ""},
		"error":         {func(p *gosnmp.SnmpPacket) { p.Error = gosnmp.GenErr }, SNMP{}, "ADDR: the agent answers with the error GenErr"},
		"other oid":     {func(p *gosnmp.SnmpPacket) { p.Variables[0].Name = ".1.3.6.2" }, SNMP{}, "ADDR: the answer is not about 1.3.6.1.2.1.1.3.0"},
		"other request": {func(p *gosnmp.SnmpPacket) { p.RequestID ^= 1 }, SNMP{}, snmpSilent},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.snmp
			c.Address, c.Version = snmpAgent(t, tt.change), "2c"
			if c.OID == "" {
				c.OID = snmpUptime
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			checkOf(t, &c, tt.err, c.Address)
		})
	}
}

func TestSNMPNoAnswer(t *testing.T) {
	noLeaks(t)
	answer := func(*gosnmp.SnmpPacket) {}
	for name, tt := range map[string]struct {
		at   string
		file string
		err  string
	}{
		"community": {snmpAgent(t, answer), secretFile(t, "geheim\n"), snmpSilent},
		"long":      {snmpAgent(t, answer), secretFile(t, strings.Repeat("a", 128)), "ADDR: community_file: the first line of FILE has more than 127 bytes"},
		"no file":   {snmpAgent(t, answer), "/nonexistent", "ADDR: community_file: open FILE: no such file or directory"},
		"garbage":   {datagrams(t, func(string) []string { return []string{"what?"} }), "", "ADDR: invalid packet header"},
		"nothing":   {datagrams(t, func(string) []string { return []string{""} }), "", "ADDR: cannot unmarshal empty packet"},
		"cut":       {datagrams(t, func(asked string) []string { return []string{asked[:len(asked)/2]} }), "", "ADDR: error verifying packet sanity: Got 21 Expected: 43"},
		"refused":   {closedPort(t), "", "ADDR: read udp FROM->ADDR: recvfrom: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &SNMP{Address: tt.at, Version: "2c", CommunityFile: tt.file, OID: snmpUptime}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = shortly(t)
			}
			err := c.Check(ctx)
			if err != nil {
				from, _, _ := strings.Cut(err.Error(), "->")
				from = from[strings.LastIndexByte(from, ' ')+1:]
				tt.err = strings.NewReplacer("FROM", from, "FILE", tt.file).Replace(tt.err)
			}
			sameError(t, err, tt.err, tt.at)
		})
	}
}

func TestSNMPValidate(t *testing.T) {
	one, two := 1.0, 2.0
	v3 := SNMP{Address: "[::1]:161", Version: "3", OID: snmpUptime, User: "a", AuthPasswordFile: "/a", PrivacyPasswordFile: "/b"}
	for name, tt := range map[string]struct {
		change func(*SNMP)
		err    string
	}{
		"version 3": {func(*SNMP) {}, ""},
		"version 2c": {func(c *SNMP) {
			*c = SNMP{Address: "127.0.0.1:161", Version: "2c", OID: "." + snmpUptime, CommunityFile: "/c", Min: &one, Max: &one}
		}, ""},
		"no port":    {func(c *SNMP) { c.Address = "127.0.0.1" }, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:161 or [::1]:161`},
		"name":       {func(c *SNMP) { c.OID = "sysUpTime.0" }, `oid: "sysUpTime.0" is no OID in numbers, as in 1.3.6.1.2.1.1.3.0`},
		"one number": {func(c *SNMP) { c.OID = "1" }, `oid: "1" is no OID in numbers, as in 1.3.6.1.2.1.1.3.0`},
		"3 first":    {func(c *SNMP) { c.OID = "3.1" }, `oid: "3.1" is no OID in numbers, as in 1.3.6.1.2.1.1.3.0`},
		"40 second":  {func(c *SNMP) { c.OID = "1.40" }, `oid: "1.40" is no OID in numbers, as in 1.3.6.1.2.1.1.3.0`},
		"too big":    {func(c *SNMP) { c.OID = "1.3.4294967296" }, `oid: "1.3.4294967296" is no OID in numbers, as in 1.3.6.1.2.1.1.3.0`},
		"min, max":   {func(c *SNMP) { c.Min, c.Max = &two, &one }, "min: 2 is more than max, 1"},
		"community":  {func(c *SNMP) { c.CommunityFile = "/c" }, "community_file: only with version: 2c"},
		"no user":    {func(c *SNMP) { c.User = "" }, `user: "" has not 1 to 32 bytes`},
		"user of 2c": {func(c *SNMP) { c.Version = "2c" }, "user, auth_password_file, privacy_password_file: only with version: 3"},
		"no auth":    {func(c *SNMP) { c.AuthPasswordFile = "" }, "privacy_password_file: only with auth_password_file"},
	} {
		t.Run(name, func(t *testing.T) {
			c := v3
			tt.change(&c)
			sameError(t, c.Validate(), tt.err, "")
		})
	}
}

func TestSNMPHost(t *testing.T) {
	if (&SNMP{Version: "3", User: "a"}).Host() != nil {
		t.Error("there is nothing to look at")
	}
	good := secretFile(t, "geheim\n")
	for name, tt := range map[string]struct {
		snmp SNMP
		err  string
	}{
		"good":         {SNMP{Version: "3", AuthPasswordFile: good, PrivacyPasswordFile: good}, ""},
		"no community": {SNMP{Version: "2c", CommunityFile: "/nonexistent"}, "community_file: open /nonexistent: no such file or directory"},
		"no password":  {SNMP{Version: "3", AuthPasswordFile: "/nonexistent"}, "auth_password_file: open /nonexistent: no such file or directory"},
		"no privacy":   {SNMP{Version: "3", AuthPasswordFile: good, PrivacyPasswordFile: "/nonexistent"}, "privacy_password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.snmp.Host()()
			sameError(t, err, tt.err, "")
		})
	}
}

// snmpdConf has a community and a user of each level of security.
const snmpdConf = `agentAddress udp:ADDR
rocommunity geheim 127.0.0.1
sysLocation rack 7
createUser none
createUser auth SHA authpass1
createUser priv SHA-256 authpass1 AES privpass1
createUser old MD5 authpass1 DES privpass1
rouser none noauth
rouser auth auth
rouser priv priv
rouser old priv
dontLogTCPWrappersConnects true
`

// TestSNMPReal asks snmpd of Net-SNMP.
func TestSNMPReal(t *testing.T) {
	noLeaks(t)
	program := drivertest.Program(t, "snmpd")
	dir, at := t.TempDir(), closedPort(t)
	drivertest.WriteFile(t, dir+"/conf", strings.ReplaceAll(snmpdConf, "ADDR", at))
	t.Setenv("SNMP_PERSISTENT_DIR", dir)
	t.Setenv("MIBS", "")
	startDaemon(t, program, "-f", "-Lo", "-C", "-c", dir+"/conf", "-p", dir+"/pid", "-I", "-smux")
	community, auth, privacy := secretFile(t, "geheim\n"), secretFile(t, "authpass1\n"), secretFile(t, "privpass1\n")
	v2 := SNMP{Address: at, Version: "2c", CommunityFile: community, OID: snmpUptime}
	v3 := SNMP{
		Address: at, Version: "3", User: "priv", AuthPasswordFile: auth, PrivacyPasswordFile: privacy,
		AuthProtocol: "sha256", PrivacyProtocol: "aes", OID: "1.3.6.1.2.1.1.6.0", Expect: regexp.MustCompile("^rack 7$"),
	}
	fitAtLast(t, &v2)
	for name, tt := range map[string]struct {
		of     SNMP
		change func(*SNMP)
		err    string
	}{
		"uptime":        {v2, func(c *SNMP) { c.Min = new(float64) }, ""},
		"no number":     {v2, func(c *SNMP) { c.OID, c.Max = v3.OID, new(float64) }, `ADDR: 1.3.6.1.2.1.1.6.0: "rack 7" is no number`},
		"location":      {v2, func(c *SNMP) { c.OID, c.Expect = v3.OID, v3.Expect }, ""},
		"community":     {v2, func(c *SNMP) { c.CommunityFile = "" }, snmpSilent},
		"no object":     {v2, func(c *SNMP) { c.OID = "1.3.6.1.2.1.1.99.0" }, "ADDR: the agent has no value for 1.3.6.1.2.1.1.99.0, or does not show it (NoSuchObject)"},
		"no instance":   {v2, func(c *SNMP) { c.OID = "1.3.6.1.2.1.1.3.1" }, "ADDR: the agent has no value for 1.3.6.1.2.1.1.3.1, or does not show it (NoSuchInstance)"},
		"private":       {v3, func(*SNMP) {}, ""},
		"old":           {v3, func(c *SNMP) { c.User, c.AuthProtocol, c.PrivacyProtocol = "old", "md5", "des" }, ""},
		"authentic":     {v3, func(c *SNMP) { c.User, c.AuthProtocol, c.PrivacyPasswordFile = "auth", "sha", "" }, ""},
		"open":          {v3, func(c *SNMP) { c.User, c.AuthPasswordFile, c.PrivacyPasswordFile = "none", "", "" }, ""},
		"user":          {v3, func(c *SNMP) { c.User = "nobody" }, snmpNotAuthentic},
		"password":      {v3, func(c *SNMP) { c.AuthPasswordFile = privacy }, snmpNotAuthentic},
		"auth protocol": {v3, func(c *SNMP) { c.AuthProtocol = "sha512" }, snmpNotAuthentic},
		"privacy":       {v3, func(c *SNMP) { c.PrivacyPasswordFile = auth }, "ADDR: no answer, as of an agent that can't decrypt (privacy_password_file, privacy_protocol) or does not let this host ask: timed out"},
		"level":         {v3, func(c *SNMP) { c.User = "none" }, snmpNotAuthentic},
		"level too low": {v3, func(c *SNMP) { c.PrivacyPasswordFile = "" }, "ADDR: the agent answers with the error AuthorizationError"},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.of
			tt.change(&c)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			checkOf(t, &c, tt.err, at)
		})
	}
	s := new(Sight)
	sameError(t, v3.Check(WithSight(within(t), s)), "", at)
	if seen, _ := s.Seen(); len(seen) != 2 || seen[1].Text != `OctetString, "rack 7"` {
		t.Errorf("saw %v", seen)
	}
	hangs(t, "snmpd", v2.Check, snmpSilent, at)
	dies(t, "snmpd", v2.Check)
}
