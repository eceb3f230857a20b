package checks

import (
	"fmt"
	"slices"
	"strings"
)

// ldapResult is how an operation ended (RFC 4511 section 4.1.9).
type ldapResult struct {
	code       int
	matched    string // the part of a DN that is there
	diagnostic string // what the server says
	referral   string // a server that has it
}

// The codes that are looked at (RFC 4511, appendix A).
const (
	ldapSuccess      = 0
	ldapTimeLimit    = 3
	ldapSizeLimit    = 4
	ldapReferral     = 10
	ldapNoSuchObject = 32
	ldapInvalidLogin = 49 // invalidCredentials
)

// ldapWords are the codes in words; behind a colon stands what it may mean here.
func ldapWords() map[int]string {
	return map[int]string{
		ldapSuccess:      "success",
		1:                "operations error: Active Directory says so if a bind is needed",
		2:                "protocol error",
		ldapTimeLimit:    "time limit exceeded: the server did not end the search in time",
		ldapSizeLimit:    "size limit exceeded",
		7:                "authentication method not supported",
		8:                "stronger authentication required: the server wants TLS, or another bind",
		ldapReferral:     "referral: the server does not hold this part of the tree",
		11:               "administrative limit exceeded: the search is too much for the server's limits",
		12:               "unavailable critical extension",
		13:               "confidentiality required: the server wants transport: tls or starttls",
		14:               "more steps of the bind required",
		16:               "no such attribute",
		18:               "inappropriate matching",
		21:               "invalid attribute syntax",
		ldapNoSuchObject: "no such object: it is not there, or there is no right to see it",
		34:               "invalid DN",
		48:               "inappropriate authentication: the server wants another bind",
		ldapInvalidLogin: "invalid credentials: there is no such account, the password is wrong, or the account is locked",
		50:               "insufficient access rights",
		51:               "busy",
		52:               "unavailable: the server starts or shuts down, or its backend is away",
		53:               "unwilling to perform",
		80:               "other error of the server",
	}
}

// Error puts a result that is no success in words.
func (r ldapResult) Error() string {
	words, means, _ := strings.Cut(ldapWords()[r.code], ": ")
	if words == "" {
		words = "failed"
	}
	if why := accountTrouble(r.diagnostic); why != "" {
		means = why
	}
	parts := []string{
		fmt.Sprintf("%s (%d)", words, r.code), means,
		ldapQuoted("only %s is there", r.matched), ldapQuoted("see %s", r.referral), ldapQuoted("%s", r.diagnostic),
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ": ")
}

// ldapQuoted puts what a server said in words; nothing if it said nothing.
func ldapQuoted(format, said string) string {
	if said == "" {
		return ""
	}
	return fmt.Sprintf(format, excerpt([]byte(said)))
}

// accountTrouble reads why Active Directory refuses an account: an error of Windows, in hex
// after the word "data", as in "AcceptSecurityContext error, data 52e, v4563".
func accountTrouble(diagnostic string) string {
	_, data, found := strings.Cut(diagnostic, "AcceptSecurityContext error, data ")
	if !found {
		return ""
	}
	data, _, _ = strings.Cut(data, ",")
	return map[string]string{
		"525": "there is no such account",
		"52e": "the name or the password is wrong",
		"530": "the account may not log in at this time",
		"531": "the account may not log in from here",
		"532": "the password has expired",
		"533": "the account is disabled",
		"701": "the account has expired",
		"773": "the password has to be changed first",
		"775": "the account is locked",
	}[strings.TrimSpace(data)]
}
