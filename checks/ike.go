package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

func init() {
	register(Kind{
		Name: "ike",
		Doc: "Sends the first message of IKEv2 (IKE_SA_INIT, RFC 7296) to an IPsec gateway, and wants a connection of the gateway to take the " +
			"ciphers that it offers. The key is of a group that no gateway knows, so the gateway answers with the group that it wants instead " +
			"(INVALID_KE_PAYLOAD), and keeps nothing: no half-open SA, no computed key, nothing that counts towards its limits. Each run leaves " +
			"some lines in the gateway's log; of strongSwan about six, unless its log level is below 1. No peer is authenticated, and nothing is " +
			"encrypted: secrets, certificates and ESP may still be wrong.",
		Example: "address: 192.0.2.1\n",
		New:     func() Checker { return new(IKE) },
		AtOnce:  stopsListening,
	})
}

// IKE is fit when an IKEv2 responder answers the first message.
type IKE struct {
	Address         string `config:"address" required:"true" doc:"Gateway to ask: an address or a host, with or without a port. The port is 500."`
	NATT            bool   `config:"nat_t" doc:"Put the mark of NAT traversal (RFC 3948) before each message. On port 4500 it is always there. strongSwan wants it on each port but 500."`
	RequireProposal bool   `config:"require_proposal" default:"true" doc:"A connection of the gateway must take one of the offered ciphers: AES-CBC, AES-GCM, AES-CCM or ChaCha20, with SHA1 or SHA2 and a usual group. Without it, an answer that there is none (NO_PROPOSAL_CHOSEN) will do. strongSwan says so, too, when no connection is loaded, or none for the address of keepcast. Turn it off for libreswan, which refuses an unknown group (INVALID_SYNTAX) before it looks for a connection."`
}

// natPort is the port on which every message has the mark of NAT traversal (RFC 7296,
// section 2.23).
const natPort = "4500"

// Validate implements Validator.
func (i *IKE) Validate() error {
	_, _, err := withPort("address", i.Address, "500")
	return err
}

// Target implements Aimed.
func (i *IKE) Target() netip.Addr { return targetWithPort(i.Address) }

// Check implements Checker.
func (i *IKE) Check(ctx context.Context) error {
	_, address, err := withPort("address", i.Address, "500")
	if err != nil {
		return err
	}
	if err := i.ask(ctx, address); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

// ask exchanges one message with the gateway; two where it wants a cookie first.
func (i *IKE) ask(ctx context.Context, address string) error {
	conn, err := connect(ctx, "udp", address, nil)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	var mark []byte
	if i.NATT || strings.HasSuffix(address, ":"+natPort) {
		mark = make([]byte, 4) // RFC 3948, section 2.2
	}
	q := newInit()
	a, err := q.exchange(ctx, conn, mark)
	if err == nil && a.cookie != nil {
		sight(ctx).saw("cookie", "the gateway wants a cookie back first: it has many half-open SAs, or always wants one")
		q.cookie = a.cookie
		if a, err = q.exchange(ctx, conn, mark); err == nil && a.cookie != nil {
			err = errors.New("wants a cookie again, though it got back the one that it gave")
		}
	}
	if err != nil {
		return err
	}
	sight(ctx).saw("answer", "%s", a)
	return i.judge(a)
}

// judge says why an answer is not that of a fit gateway.
func (i *IKE) judge(a initAnswer) error {
	switch {
	case a.chosen, a.notify == invalidKE && offered(a.group):
		return nil
	case a.notify == invalidKE:
		return fmt.Errorf("answers INVALID_KE_PAYLOAD and asks for %s, which was not offered", groupName(a.group))
	case !i.RequireProposal && (a.notify == noProposalChosen || a.notify == invalidSyntax):
		return nil
	case a.notify == invalidSyntax:
		return errors.New("answers INVALID_SYNTAX: it refuses a group that it does not know, as libreswan does, so set require_proposal: false")
	case a.notify == noProposalChosen:
		return errors.New("answers NO_PROPOSAL_CHOSEN: none of its connections takes the ciphers that keepcast offers, none is for keepcast's address, or none is loaded")
	}
	return fmt.Errorf("answers %s", a)
}
