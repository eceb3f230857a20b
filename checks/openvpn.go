package checks

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
)

func init() {
	register(Kind{
		Name: "openvpn",
		Doc: "Begins a session with an OpenVPN server as a client does (P_CONTROL_HARD_RESET_CLIENT), and wants it to answer. It goes no further: " +
			"it needs no certificate of a client, and does not see that of the server. Over UDP a server of OpenVPN 2.6 or later keeps nothing " +
			"and logs nothing. An older one keeps the session until `hand-window` is over, a minute by default, and then logs that the TLS key " +
			"negotiation failed. Over TCP the session ends with the connection, and leaves a few lines in the log. A server of 2.6 or later " +
			"answers no more than 100 clients that are new to it in 10 s (`connect-freq-initial`), keepcast among them.",
		Example: "address: 192.0.2.1\ntls_crypt_file: /etc/keepcast/openvpn.key\n",
		New:     func() Checker { return new(OpenVPN) },
		AtOnce:  stopsListening,
	})
}

// OpenVPN is fit when the server answers the reset by which a session begins.
type OpenVPN struct {
	Address      string `config:"address" required:"true" doc:"Server to ask: an address or a host, with or without a port. The port is 1194."`
	Transport    string `config:"transport" default:"udp" enum:"udp|tcp" doc:"What the server listens for ('proto')."`
	AuthFile     string `config:"tls_auth_file" doc:"File with the static key of 'tls-auth'. A server does not answer without it, or with another one."`
	KeyDirection string `config:"key_direction" default:"1" enum:"0|1|none" doc:"Direction of a client's 'tls-auth': 1 where the server has 0, none where the server has none."`
	Auth         string `config:"auth" default:"SHA1" enum:"SHA1|SHA256|SHA384|SHA512" doc:"Digest of 'tls-auth', as the server's 'auth' has it."`
	CryptFile    string `config:"tls_crypt_file" doc:"File with the static key of 'tls-crypt'."`
	CryptV2File  string `config:"tls_crypt_v2_file" doc:"File with a client's key of 'tls-crypt-v2'. Make one for keepcast."`
}

// Validate implements Validator.
func (o *OpenVPN) Validate() error {
	if _, _, err := withPort("address", o.Address, "1194"); err != nil {
		return err
	}
	files := 0
	for _, file := range []string{o.AuthFile, o.CryptFile, o.CryptV2File} {
		if file != "" {
			files++
		}
	}
	switch {
	case files > 1:
		return errors.New("tls_auth_file, tls_crypt_file, tls_crypt_v2_file: a server has only one of them")
	case o.AuthFile == "" && cmp.Or(o.KeyDirection, "1") != "1":
		return errors.New("key_direction: only with tls_auth_file")
	case o.AuthFile == "" && cmp.Or(o.Auth, "SHA1") != "SHA1":
		return errors.New("auth: only with tls_auth_file")
	}
	return nil
}

// Target implements Aimed.
func (o *OpenVPN) Target() netip.Addr { return targetWithPort(o.Address) }

// Host implements Hosted.
func (o *OpenVPN) Host() func() ([]string, error) {
	if o.AuthFile == "" && o.CryptFile == "" && o.CryptV2File == "" {
		return nil
	}
	return func() ([]string, error) {
		_, err := o.wrapping()
		return nil, err
	}
}

// Check implements Checker.
func (o *OpenVPN) Check(ctx context.Context) error {
	_, address, err := withPort("address", o.Address, "1194")
	if err != nil {
		return err
	}
	w, err := o.wrapping()
	if err != nil {
		return err
	}
	if err := o.ask(ctx, address, w); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

// ask sends a reset and judges the answer.
func (o *OpenVPN) ask(ctx context.Context, address string, w wrapping) error {
	transport := cmp.Or(o.Transport, "udp")
	conn, err := connect(ctx, transport, address, nil)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	session := newSession()
	request := session.reset(w)
	if transport == "tcp" {
		request = append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)
	}
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("sending the reset: %w", explain(ctx, err))
	}
	sight(ctx).waits("the answer to the reset")
	answer, err := readPacket(conn, transport)
	if err != nil {
		return fmt.Errorf("waiting for the answer to the reset: %w%s", explain(ctx, err), o.hint(err))
	}
	if err := session.answeredBy(w, answer); err != nil {
		return err
	}
	sight(ctx).saw("answer", "the server begins session %x", answer[1:headLength])
	return nil
}

// hint says what else than a server that hangs makes it silent.
func (o *OpenVPN) hint(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ""
	case o.AuthFile == "" && o.CryptFile == "" && o.CryptV2File == "":
		return " (a server with tls-auth or tls-crypt does not answer without its key)"
	}
	return " (a server does not answer what is signed with another key)"
}

// readPacket reads one packet. Over TCP its length stands before it.
func readPacket(conn io.Reader, transport string) ([]byte, error) {
	buf := make([]byte, 1<<16)
	if transport == "udp" {
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		return nil, err
	}
	packet := buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(conn, packet)
	return packet, err
}
