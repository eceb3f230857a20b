package checks

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dnsSigned are the settings about the signatures of an answer.
type dnsSigned struct {
	MinSignatureLeft time.Duration `config:"min_signature_left" default:"0s" min:"0s" doc:"How long the signatures of the answer must be valid from now on, by the clock of this host. The server is asked for them (DO), and each set of records has to have one; of an empty answer, each set that shows why it is (SOA, NSEC, NSEC3). Set it to less than what is left when the zone is signed anew, and to more than a repair takes. The signatures themselves are not verified: that is what 'require_ad' has a resolver do. 0s: does not matter."`
}

// dnsSet is a set of records that has signatures, or has to.
type dnsSet struct {
	owner string // in lower case
	of    uint16 // type
}

// String names the set.
func (s dnsSet) String() string { return s.owner + " " + dns.Type(s.of).String() }

// dnsSignature is the one of a set that is valid for the longest time.
type dnsSignature struct {
	*dns.RRSIG
	begins, ends time.Time
}

// judgeSignatures says what is wrong with the signatures in a reply.
func (d *DNS) judgeSignatures(s *Sight, reply *dns.Msg, now time.Time) error {
	if d.MinSignatureLeft == 0 {
		return nil
	}
	records, where := reply.Answer, "answer"
	if len(records) == 0 {
		records, where = reply.Ns, "empty answer"
	}
	best := longestSignatures(records, now)
	if len(best) == 0 {
		return fmt.Errorf("the %s has no signatures (RRSIG)", where)
	}
	for _, set := range dnsSetsToSign(records) {
		sig, ok := best[set]
		if !ok {
			return fmt.Errorf("%s has no signature (RRSIG)", set)
		}
		s.sawSignature(set, sig)
		if err := sig.judge(now, d.MinSignatureLeft); err != nil {
			return fmt.Errorf("the signature of %s by %s key %d %w", set, sig.SignerName, sig.KeyTag, err)
		}
	}
	return nil
}

// sawSignature notes the signature that a set is judged by.
func (s *Sight) sawSignature(set dnsSet, sig dnsSignature) {
	if s != nil {
		s.saw("signature", "%s by %s key %d, from %s until %s", set, sig.SignerName, sig.KeyTag, dnsTime(sig.begins), dnsTime(sig.ends))
	}
}

func dnsTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// dnsSetsToSign returns the sets of some records, in their order. What a DNAME makes has no
// signature of its own (RFC 6672 section 5.3.1).
func dnsSetsToSign(records []dns.RR) []dnsSet {
	var sets []dnsSet
	known := map[dnsSet]bool{}
	redirected := false
	for _, rr := range records {
		set := dnsSetOf(rr)
		redirected = redirected || set.of == dns.TypeDNAME
		if known[set] || set.of == dns.TypeCNAME && redirected {
			continue
		}
		known[set] = true
		sets = append(sets, set)
	}
	return sets
}

// dnsSetOf returns the set that a record is of; a signature is of the set that it signs.
func dnsSetOf(rr dns.RR) dnsSet {
	of := rr.Header().Rrtype
	if sig, ok := rr.(*dns.RRSIG); ok {
		of = sig.TypeCovered
	}
	return dnsSet{strings.ToLower(rr.Header().Name), of}
}

// longestSignatures returns of each set the signature to judge it by: while keys or
// algorithms change, there may be an old one beside it. One that is valid now comes first.
func longestSignatures(records []dns.RR, now time.Time) map[dnsSet]dnsSignature {
	best := map[dnsSet]dnsSignature{}
	for _, rr := range records {
		sig, ok := rr.(*dns.RRSIG)
		if !ok {
			continue
		}
		next := dnsSignature{sig, serialTime(sig.Inception, now), serialTime(sig.Expiration, now)}
		was, twice := best[dnsSetOf(rr)]
		begun, wasBegun := !next.begins.After(now), twice && !was.begins.After(now)
		if !twice || begun && !wasBegun || begun == wasBegun && next.ends.After(was.ends) {
			best[dnsSetOf(rr)] = next
		}
	}
	return best
}

// serialTime returns the time of a signature that is nearest to now: its 32 bits begin anew
// every 136 years (RFC 4034 section 3.1.5).
func serialTime(seconds uint32, now time.Time) time.Time {
	away := int32(seconds - uint32(now.Unix())) // serial number arithmetic (RFC 1982)
	return time.Unix(now.Unix()+int64(away), 0)
}

// judge says what is wrong with the time in which the signature is valid.
func (g dnsSignature) judge(now time.Time, left time.Duration) error {
	remains := g.ends.Sub(now).Round(time.Second)
	switch {
	case g.ends.Before(g.begins):
		return errors.New("ends before it begins")
	case g.begins.After(now):
		return fmt.Errorf("is not valid before %s", dnsTime(g.begins))
	case remains < 0:
		return fmt.Errorf("expired at %s, %s ago", dnsTime(g.ends), -remains)
	case remains < left:
		return fmt.Errorf("expires at %s, in %s, expected at least %s", dnsTime(g.ends), remains, left)
	}
	return nil
}
