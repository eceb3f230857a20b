package checks

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// ntpServer answers each request as a good server does whose clock is a minute slow, and has
// change spoil the answer.
func ntpServer(t *testing.T, change func(packet []byte) []string) string {
	t.Helper()
	return datagrams(t, func(asked string) []string {
		const good = "\x24\x02\x00\xec" + "\x00\x00\x80\x00" + "\x00\x00\x40\x00" + "\xc0\x00\x02\x01" // 500 ms, 250 ms, 192.0.2.1
		if len(asked) != ntpSize || asked[0] != 0x23 {
			return []string{"what?"}
		}
		packet := append([]byte(good), make([]byte, ntpSize-len(good))...)
		slow := time.Now().Add(-time.Minute)
		binary.BigEndian.PutUint64(packet[16:], uint64(ntpTimeOf(slow.Add(-time.Hour))))
		copy(packet[24:], asked[40:])
		binary.BigEndian.PutUint64(packet[32:], uint64(ntpTimeOf(slow)))
		binary.BigEndian.PutUint64(packet[40:], uint64(ntpTimeOf(slow)))
		if change != nil {
			return change(packet)
		}
		return []string{string(packet)}
	})
}

// ntpDefault has the defaults of the settings.
func ntpDefault(change func(*NTP)) *NTP {
	n := &NTP{MaxStratum: 15, MaxRootDistance: 1500 * time.Millisecond}
	if change != nil {
		change(n)
	}
	return n
}

func TestNTP(t *testing.T) {
	// with overwrites the answer from a byte on.
	with := func(at int, bytes string) func([]byte) []string {
		return func(p []byte) []string { copy(p[at:], bytes); return []string{string(p)} }
	}
	kiss := func(code string) func([]byte) []string {
		return func(p []byte) []string {
			p[0] |= 3 << 6
			p[1] = 0
			copy(p[12:], code)
			return []string{string(p)}
		}
	}
	measured := regexp.MustCompile(`\b[0-9hm]+\.[0-9]+(µ|m|n)?s`)
	none := strings.Repeat("\x00", 8)
	for name, tt := range map[string]struct {
		answer func([]byte) []string
		ntp    func(*NTP)
		err    string
	}{
		"good": {},
		"good enough": {nil, func(n *NTP) {
			n.MaxStratum, n.MaxRootDistance, n.MaxReferenceAge, n.MaxOffset = 2, time.Minute, 2*time.Hour, 2*time.Minute
		}, ""},
		"all looks off": {func(p []byte) []string {
			copy(p[4:], "\xff\xff\xff\xff\xff\xff\xff\xff")
			copy(p[16:], none)
			return []string{string(p)}
		}, func(n *NTP) { n.MaxRootDistance = 0 }, ""},
		"version 3":   {with(0, "\x1c"), nil, ""},
		"leap second": {with(0, "\x64"), nil, ""},
		"extended":    {func(p []byte) []string { return []string{string(p) + "more"} }, nil, ""},
		"after another's": {func(p []byte) []string {
			return []string{strings.Replace(string(p), string(p[24:32]), none, 1), string(p)}
		}, nil, ""},
		"another's":            {with(24, none), nil, "ADDR: 1 answers, none of them to this request: timed out"},
		"silent":               {func([]byte) []string { return nil }, nil, "ADDR: waiting for an answer: timed out"},
		"empty":                {func([]byte) []string { return []string{""} }, nil, `ADDR: an answer of 0 bytes is no NTP, which has 48: ""`},
		"short":                {func([]byte) []string { return []string{strings.Repeat("x", 47)} }, nil, `ADDR: an answer of 47 bytes is no NTP, which has 48: "` + strings.Repeat("x", 47) + `"`},
		"echo":                 {with(0, "\x23"), nil, "ADDR: an answer of mode 3 is none of an NTP server, which is 4"},
		"alarm":                {with(0, "\xe4"), nil, "ADDR: the server is not synchronized: stratum 2, leap indicator 3"},
		"stratum 0":            {with(1, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), nil, "ADDR: the server is not synchronized: stratum 0, leap indicator 0"},
		"stratum 16":           {with(1, "\x10"), nil, "ADDR: the server is not synchronized: stratum 16, leap indicator 0"},
		"rate":                 {kiss("RATE"), nil, "ADDR: the server refuses (RATE): it is asked more often than its rate limit allows"},
		"deny":                 {kiss("DENY"), nil, "ADDR: the server refuses (DENY): its access control does not let this host ask"},
		"restrict":             {kiss("RSTR"), nil, "ADDR: the server refuses (RSTR): its access control does not let this host ask"},
		"init":                 {kiss("INIT"), nil, "ADDR: the server is not synchronized (INIT)"},
		"other kiss":           {kiss("X\"\x00\x00"), nil, `ADDR: the server refuses (kiss code "X\"")`},
		"no word":              {kiss("A\nBC"), nil, "ADDR: the server is not synchronized: stratum 0, leap indicator 3"},
		"no time":              {with(40, none), nil, "ADDR: the server says no time, or sent its answer before it had the request"},
		"no time of receipt":   {with(32, none), nil, "ADDR: the server says no time, or sent its answer before it had the request"},
		"answer before":        {with(32, "\xff\xff\xff\xff"), nil, "ADDR: the server says no time, or sent its answer before it had the request"},
		"too far":              {nil, func(n *NTP) { n.MaxStratum = 1 }, "ADDR: the server is of stratum 2, more than 1"},
		"reference":            {nil, func(n *NTP) { n.Reference = regexp.MustCompile(`^192\.0\.2\.1$`) }, ""},
		"other reference":      {nil, func(n *NTP) { n.Reference = regexp.MustCompile("GPS") }, "ADDR: the reference of the server, 192.0.2.1, does not match 'GPS'"},
		"reference of 1":       {with(1, "\x01\x00\xec\x00\x00\x00\x00\x00\x00\x00\x00GPS\x00"), func(n *NTP) { n.Reference = regexp.MustCompile("^GPS$") }, ""},
		"not that":             {nil, func(n *NTP) { n.NotReference = regexp.MustCompile("LOCL") }, ""},
		"just that":            {with(1, "\x01\x00\xec\x00\x00\x00\x00\x00\x00\x00\x00LOCL"), func(n *NTP) { n.NotReference = regexp.MustCompile("LOC") }, "ADDR: the reference of the server, LOCL, matches 'LOC'"},
		"delay and dispersion": {with(4, "\x00\x02\x00\x00\x00\x00\x80\x00"), func(n *NTP) { n.MaxRootDistance = 1500 * time.Millisecond }, "ADDR: the root distance of the server is T, more than T"},
		"set long ago":         {nil, func(n *NTP) { n.MaxReferenceAge = 59 * time.Minute }, "ADDR: the clock of the server was last set 1h0m0s ago, more than 59m0s"},
		"never set":            {with(16, none), func(n *NTP) { n.MaxReferenceAge = time.Hour }, "ADDR: the clock of the server was never set"},
		"set in the future": {func(p []byte) []string {
			binary.BigEndian.PutUint64(p[16:], binary.BigEndian.Uint64(p[40:])+1<<32)
			return []string{string(p)}
		}, func(n *NTP) { n.MaxReferenceAge = time.Hour }, "ADDR: the clock of the server is to be set only in 1s, by its own account"},
		"behind": {nil, func(n *NTP) { n.MaxOffset = 59 * time.Second }, "ADDR: the clock of the server is T behind that of this host, more than 59s"},
		"ahead": {func(p []byte) []string {
			ahead := uint64(ntpTimeOf(time.Now().Add(time.Hour + time.Second/2))) // what is measured has a fraction
			binary.BigEndian.PutUint64(p[32:], ahead)
			binary.BigEndian.PutUint64(p[40:], ahead)
			return []string{string(p)}
		}, func(n *NTP) { n.MaxOffset = 59 * time.Minute }, "ADDR: the clock of the server is T ahead of that of this host, more than 59m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := ntpDefault(tt.ntp)
			c.Address = ntpServer(t, tt.answer)
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			var err error
			if err = c.Check(ctx); err != nil {
				err = errors.New(measured.ReplaceAllString(err.Error(), "T"))
			}
			sameError(t, err, tt.err, c.Address)
		})
	}
}

func TestNTPClosed(t *testing.T) {
	noLeaks(t)
	c := ntpDefault(func(n *NTP) { n.Address = closedPort(t) })
	err := c.Check(within(t))
	if err == nil || !strings.HasPrefix(err.Error(), c.Address+": ") || !strings.HasSuffix(err.Error(), "read: connection refused") {
		t.Error(err)
	}
}

func TestNTPSees(t *testing.T) {
	for name, tt := range map[string]struct {
		code string
		want []string
	}{
		"good": {want: []string{"answer: stratum 2, leap indicator 0, reference 192.0.2.1", "clock: -", "sources: root distance 5"}},
		"kiss": {code: "RATE", want: []string{"answer: stratum 0, leap indicator 0, reference RATE"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := ntpDefault(func(n *NTP) {
				n.Address = ntpServer(t, func(p []byte) []string {
					if tt.code != "" {
						p[1] = 0
						copy(p[12:], tt.code)
					}
					return []string{string(p)}
				})
			})
			var s Sight
			if err := c.Check(WithSight(within(t), &s)); (err == nil) != (tt.code == "") {
				t.Error(err)
			}
			seen, awaits := s.Seen()
			if seen = seen[1:]; len(seen) != len(tt.want) || awaits != "" {
				t.Fatalf("saw %v, awaits %q", seen, awaits)
			}
			for i, one := range seen {
				if got := one.What + ": " + one.Text; !strings.HasPrefix(got, tt.want[i]) {
					t.Errorf("saw %s, want %s", got, tt.want[i])
				}
			}
			if tt.code == "" {
				asked, distance := durationAfter(t, seen[1].Text, "asked in "), durationAfter(t, seen[2].Text, "root distance ")
				if off := distance - 500*time.Millisecond - asked/2; off.Abs() > time.Microsecond { // both are rounded
					t.Errorf("the root distance is %s, %s off from 500ms and half of %s", distance, off, asked)
				}
			}
		})
	}
}

// durationAfter returns the duration that follows some words in a text.
func durationAfter(t *testing.T, text, words string) time.Duration {
	t.Helper()
	_, rest, _ := strings.Cut(text, words)
	first, _, _ := strings.Cut(rest, ",")
	d, err := time.ParseDuration(first)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

// Times are compared across 2036, too, when the seconds begin anew.
func TestNTPTime(t *testing.T) {
	for name, tt := range map[string]struct {
		from time.Time
		add  time.Duration
	}{
		"same":          {time.Unix(0, 0), 0},
		"half a second": {time.Unix(1, 999_999_999), 500 * time.Millisecond},
		"back":          {time.Unix(1, 0), -time.Nanosecond},
		"over 2036":     {time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC), 2 * time.Second},
		"back of 2036":  {time.Date(2036, 2, 7, 6, 28, 17, 0, time.UTC), -time.Hour},
		"60 years":      {time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), 60 * 365 * 24 * time.Hour},
	} {
		got := ntpTimeOf(tt.from.Add(tt.add)).since(ntpTimeOf(tt.from))
		if off := (got - tt.add).Abs(); off > time.Nanosecond {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if got := ntpTimeOf(time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC)); got != 0 {
		t.Errorf("the new era begins with %d", got)
	}
	if got := ntpShort([]byte{0, 1, 0x80, 0}); got != 1500*time.Millisecond {
		t.Errorf("1.5 s are %s", got)
	}
}

func TestNTPValidate(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1":        "",
		"::1":              "",
		"[::1]:1123":       "",
		"ntp.example.com":  "",
		"127.0.0.1:0":      `address: "0" is no port from 1 to 65535`,
		"ntp.example.com/": `address: "ntp.example.com/" is no address, host or either with a port`,
		"":                 `address: "" is no address, host or either with a port`,
		":123":             `address: ":123" is no address, host or either with a port`,
	} {
		sameError(t, (&NTP{Address: address}).Validate(), want, "")
	}
	for address, want := range map[string]netip.Addr{
		"::1":             addr("::1"),
		"192.0.2.1:1":     addr("192.0.2.1"),
		"ntp.example.com": {},
		"a:b:c":           {},
	} {
		if got := (&NTP{Address: address}).Target(); got != want {
			t.Errorf("%s: target %s", address, got)
		}
	}
}

func FuzzNTP(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x24\x02" + strings.Repeat("x", 46)))
	f.Add([]byte("\xe4\x00" + strings.Repeat("\x00", 46)))
	f.Fuzz(func(t *testing.T, packet []byte) {
		a, err := parseNTP(packet)
		if err != nil {
			return
		}
		if a.rootDelay < 0 || a.rootDispersion < 0 || a.rootDistance() < 0 {
			t.Errorf("negative: %+v", a)
		}
		for _, b := range []byte(a.referenceID()) {
			if b <= ' ' || b > '~' {
				t.Errorf("reference %q", a.referenceID())
			}
		}
		err = ntpDefault(nil).judge(a)
		if err == nil && (a.leap == 3 || a.stratum < 1 || a.stratum > 15) {
			t.Errorf("trusted: %+v", a)
		}
	})
}

// chronyd starts Debian's NTP server, which leaves the clock alone (-x), and returns its
// address.
func chronyd(t *testing.T, options ...string) string {
	t.Helper()
	program := drivertest.Program(t, "chronyd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	address, dir := closedPort(t), drivertest.SocketDir(t)
	conf := filepath.Join(dir, "chrony.conf")
	drivertest.WriteFile(t, conf, strings.Join(append(options,
		"bindaddress 127.0.0.1", "port "+portOf(address), "allow 127.0.0.0/8",
		"cmdport 0", "bindcmdaddress /", "pidfile "+filepath.Join(dir, "pid")), "\n")+"\n")
	startDaemon(t, program, "-x", "-d", "-U", "-u", me.Username, "-f", conf)
	return address
}

func TestNTPServer(t *testing.T) {
	noLeaks(t)
	good, lost, closed := chronyd(t, "local stratum 5"), chronyd(t), chronyd(t, "local stratum 1", "deny 127.0.0.1")
	fitAtLast(t, ntpDefault(func(n *NTP) { n.Address = good }))
	const unsynchronized = "ADDR: the server is not synchronized: stratum 0, leap indicator 3"
	for _, address := range []string{lost, closed} {
		drivertest.Eventually(t, "chronyd listens", func() bool {
			err := ntpDefault(func(n *NTP) { n.Address = address }).Check(shortly(t))
			return !errors.Is(err, syscall.ECONNREFUSED)
		})
	}
	for name, tt := range map[string]struct {
		at     string
		change func(*NTP)
		err    string
	}{
		"all": {good, func(n *NTP) {
			n.MaxStratum, n.MaxReferenceAge, n.MaxOffset, n.Reference = 5, time.Hour, time.Second, regexp.MustCompile(`^127\.127\.1\.1$`)
		}, ""},
		"stratum":        {good, func(n *NTP) { n.MaxStratum = 4 }, "ADDR: the server is of stratum 5, more than 4"},
		"own clock only": {good, func(n *NTP) { n.NotReference = regexp.MustCompile(`^127[.]127[.]1[.]`) }, "ADDR: the reference of the server, 127.127.1.1, matches '^127[.]127[.]1[.]'"},
		"no source":      {lost, nil, unsynchronized},
		"denied":         {closed, nil, "ADDR: waiting for an answer: timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			c := ntpDefault(tt.change)
			c.Address = tt.at
			checkOf(t, c, tt.err, tt.at)
		})
	}
	asks := ntpDefault(func(n *NTP) { n.Address = good })
	hangs(t, "chronyd", asks.Check, "ADDR: waiting for an answer: timed out", good)
	dies(t, "chronyd", asks.Check)
}
