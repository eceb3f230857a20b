package checks

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The messages of RFC 4120 that a check needs. What is sent is put together element by
// element, since package asn1 writes no GeneralString.

// Tags beside those of LDAP.
const (
	berBitString       = 0x03
	berGeneralizedTime = 0x18
	berGeneralString   = 0x1b
	berContext         = 0xa0 // [0], explicit

	kdcRequest = 0x6a // [APPLICATION 10], AS-REQ
)

// kdcName encodes a PrincipalName (section 5.2.2).
func kdcName(kind int, parts ...string) []byte {
	var all [][]byte
	for _, part := range parts {
		all = append(all, berTLV(berGeneralString, []byte(part)))
	}
	return berTLV(berSequence, berTLV(berContext, berNumber(berInteger, kind)), berTLV(berContext+1, berTLV(berSequence, all...)))
}

// asRequest encodes an AS-REQ without pre-authentication for the longest ticket that
// there is (section 5.4.1).
func asRequest(realm, principal string, nonce int) []byte {
	const nameOfPrincipal, nameOfService = 1, 2
	var encryptions [][]byte
	for _, aes := range []int{20, 19, 18, 17} { // RFC 8009, RFC 3962
		encryptions = append(encryptions, berNumber(berInteger, aes))
	}
	body := berTLV(berSequence,
		berTLV(berContext, berTLV(berBitString, make([]byte, 5))), // no kdc-options
		berTLV(berContext+1, kdcName(nameOfPrincipal, strings.Split(principal, "/")...)),
		berTLV(berContext+2, berTLV(berGeneralString, []byte(realm))),
		berTLV(berContext+3, kdcName(nameOfService, "krbtgt", realm)),
		berTLV(berContext+5, berTLV(berGeneralizedTime, []byte("19700101000000Z"))),
		berTLV(berContext+7, berNumber(berInteger, nonce)),
		berTLV(berContext+8, berTLV(berSequence, encryptions...)))
	return berTLV(kdcRequest, berTLV(berSequence,
		berTLV(berContext+1, berNumber(berInteger, 5)),
		berTLV(berContext+2, berNumber(berInteger, 10)),
		berTLV(berContext+4, body)))
}

// kdcAnswer is what a check reads of an AS-REP or a KRB-ERROR.
type kdcAnswer struct {
	ticket    bool   // an AS-REP
	code      int    // of a KRB-ERROR, which has all below; else 0
	realm     string // that was asked for
	principal string // without the realm; "" if not said
	right     string // the realm to ask instead, of KDC_ERR_WRONG_REALM
	text      string
	time      time.Time // of the KDC
}

// principalName is a PrincipalName.
type principalName struct {
	Kind  int      `asn1:"explicit,tag:0"`
	Parts []string `asn1:"explicit,tag:1"`
}

// krbError is a KRB-ERROR (section 5.9.1).
type krbError struct {
	Version     int           `asn1:"explicit,tag:0"`
	Type        int           `asn1:"explicit,tag:1"`
	ClientTime  time.Time     `asn1:"explicit,optional,generalized,tag:2"`
	ClientMicro int           `asn1:"explicit,optional,tag:3"`
	Time        time.Time     `asn1:"explicit,generalized,tag:4"`
	Micro       int           `asn1:"explicit,tag:5"`
	Code        int           `asn1:"explicit,tag:6"`
	ClientRealm string        `asn1:"explicit,optional,tag:7"`
	Client      principalName `asn1:"explicit,optional,tag:8"`
	Realm       string        `asn1:"explicit,tag:9"`
	Server      principalName `asn1:"explicit,tag:10"`
	Text        string        `asn1:"explicit,optional,tag:11"`
	Data        []byte        `asn1:"explicit,optional,tag:12"`
}

// asReply is an AS-REP (section 5.4.2). What is encrypted is not looked at.
type asReply struct {
	Version   int           `asn1:"explicit,tag:0"`
	Type      int           `asn1:"explicit,tag:1"`
	Padata    asn1.RawValue `asn1:"explicit,optional,tag:2"`
	Realm     string        `asn1:"explicit,tag:3"`
	Client    principalName `asn1:"explicit,tag:4"`
	Ticket    asn1.RawValue `asn1:"explicit,tag:5"`
	Encrypted asn1.RawValue `asn1:"explicit,tag:6"`
}

// parseKDC reads an answer of a KDC.
func parseKDC(raw []byte) (kdcAnswer, error) {
	const ofReply, ofError = 0x6b, 0x7e // [APPLICATION 11] and 30
	var tag byte
	if len(raw) > 0 {
		tag = raw[0]
	}
	switch tag {
	case ofReply:
		var m asReply
		if err := parseDER(raw, &m, "application,explicit,tag:11"); err != nil {
			return kdcAnswer{}, err
		}
		if m.Version != 5 || m.Type != 11 {
			return kdcAnswer{}, fmt.Errorf("version %d, type %d", m.Version, m.Type)
		}
		return kdcAnswer{ticket: true, realm: m.Realm, principal: strings.Join(m.Client.Parts, "/")}, nil
	case ofError:
		var m krbError
		if err := parseDER(raw, &m, "application,explicit,tag:30"); err != nil {
			return kdcAnswer{}, err
		}
		if m.Version != 5 || m.Type != 30 {
			return kdcAnswer{}, fmt.Errorf("version %d, type %d", m.Version, m.Type)
		}
		return kdcAnswer{
			code: m.Code, realm: m.Realm, right: m.ClientRealm, principal: strings.Join(m.Client.Parts, "/"),
			text: m.Text, time: m.Time.Add(time.Duration(m.Micro) * time.Microsecond).UTC(),
		}, nil
	}
	return kdcAnswer{}, errors.New("neither AS-REP nor KRB-ERROR")
}

// parseDER reads one element and nothing behind it. What the library finds wrong is for a
// programmer.
func parseDER(raw []byte, into any, params string) error {
	rest, err := asn1.UnmarshalWithParams(raw, into, params)
	if err != nil {
		return errors.New("broken ASN.1")
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(rest))
	}
	return nil
}

// Error codes (section 7.5.9) that decide something.
const (
	kdcUnknown         = 6
	kdcPreauthRequired = 25
	kdcTooBig          = 52
	kdcWrongRealm      = 68
)

// String says what the KDC answered, with what is known of the reason.
func (a kdcAnswer) String() string {
	if a.ticket {
		return "a ticket"
	}
	says := fmt.Sprintf("error %d", a.code)
	if known, ok := kdcErrors()[a.code]; ok {
		name, meaning, _ := strings.Cut(known, ", ")
		says = fmt.Sprintf("%s (%d), %s", name, a.code, meaning)
	}
	if a.code == kdcWrongRealm && a.right != "" {
		says += ", perhaps " + excerpt([]byte(a.right))
	}
	if text := strings.TrimRight(a.text, "\x00"); text != "" {
		says += ": " + excerpt([]byte(text))
	}
	return says
}

// kdcErrors names the errors that a KDC may answer, with what they mean here.
func kdcErrors() map[int]string {
	return map[int]string{
		0:                  "KDC_ERR_NONE, an error that is none",
		1:                  "KDC_ERR_NAME_EXP, the principal has expired",
		2:                  "KDC_ERR_SERVICE_EXP, the krbtgt of the realm has expired",
		3:                  "KDC_ERR_BAD_PVNO, the KDC speaks another version of Kerberos",
		kdcUnknown:         "KDC_ERR_C_PRINCIPAL_UNKNOWN, the database has no such principal",
		7:                  "KDC_ERR_S_PRINCIPAL_UNKNOWN, the database has no krbtgt of the realm",
		9:                  "KDC_ERR_NULL_KEY, the principal or the krbtgt has no key",
		12:                 "KDC_ERR_POLICY, the policy of the KDC forbids it",
		14:                 "KDC_ERR_ETYPE_NOSUPP, the principal or the krbtgt has no key for AES",
		18:                 "KDC_ERR_CLIENT_REVOKED, the principal is locked or disabled",
		20:                 "KDC_ERR_TGT_REVOKED, the krbtgt is revoked",
		23:                 "KDC_ERR_KEY_EXPIRED, the password of the principal has expired",
		kdcPreauthRequired: "KDC_ERR_PREAUTH_REQUIRED, the KDC wants a proof",
		29:                 "KDC_ERR_SVC_UNAVAILABLE, the KDC lacks what it needs, such as its database",
		37:                 "KRB_AP_ERR_SKEW, the KDC thinks that the clock of this host is wrong",
		kdcTooBig:          "KRB_ERR_RESPONSE_TOO_BIG, the answer is too long for UDP",
		60:                 "KRB_ERR_GENERIC, the KDC failed",
		61:                 "KRB_ERR_FIELD_TOOLONG, the KDC does not take a request of this length",
		kdcWrongRealm:      "KDC_ERR_WRONG_REALM, the KDC serves another realm",
	}
}
