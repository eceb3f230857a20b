package checks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"
)

func init() {
	register(Kind{
		Name: "tftp",
		Doc: "Asks a TFTP server for a file (RFC 1350), and wants its first block, of up to 512 bytes. Then it ends the transfer: a file that is longer, " +
			"by an error, which some servers log. The server answers from another port than the one that is asked. A firewall between has to let that pass.",
		Example: "address: 127.0.0.1:69\nfile: pxelinux.0\n",
		New:     func() Checker { return new(TFTP) },
		AtOnce:  stopsListening,
	})
}

// TFTP is fit when a server sends the first block of a file.
type TFTP struct {
	Address      string         `config:"address" required:"true" doc:"Host and port of the server, as in '127.0.0.1:69' or '[::1]:69'. Of a name with several addresses the first is asked."`
	File         string         `config:"file" required:"true" doc:"Name of the file to ask for, as clients write it."`
	Content      *regexp.Regexp `config:"content" doc:"Regular expression that the first block, of up to 512 bytes, must match."`
	MayBeMissing bool           `config:"may_be_missing" doc:"A server that says that it has no such file (error 1) is fit, too: it answers."`
}

// The packets of TFTP (RFC 1350 section 5), and the code of an error.
const (
	tftpRead, tftpData, tftpAck, tftpError = 1, 3, 4, 5

	tftpNotFound = 1

	tftpBlock   = 512 // bytes in each block but the last
	maxTFTPFile = 500 // bytes of a name: the request is to be no longer than a block
)

// Validate implements Validator.
func (f *TFTP) Validate() error {
	if err := validAddress(f.Address, "69"); err != nil {
		return err
	}
	switch {
	case f.File == "" || strings.ContainsFunc(f.File, unicode.IsControl):
		return fmt.Errorf("file: %q is no name of a file", f.File)
	case len(f.File) > maxTFTPFile:
		return fmt.Errorf("file: %d bytes are more than %d", len(f.File), maxTFTPFile)
	case f.Content != nil && f.MayBeMissing:
		return errors.New("content: not with may_be_missing: a file that is missing has none")
	}
	return nil
}

// Target implements Aimed.
func (f *TFTP) Target() netip.Addr { return targetOf(f.Address) }

// Check implements Checker.
func (f *TFTP) Check(ctx context.Context) error {
	if err := f.ask(ctx); err != nil {
		return fmt.Errorf("%s: %s: %w", f.Address, f.File, err)
	}
	return nil
}

func (f *TFTP) ask(ctx context.Context) error {
	host, port, err := net.SplitHostPort(f.Address)
	if err != nil {
		return err
	}
	number, err := portNumber(port)
	if err != nil {
		return err
	}
	addr, err := resolveHost(ctx, host)
	if err != nil {
		return err
	}
	to := netip.AddrPortFrom(addr, number)
	conn, err := unconnected(ctx, to)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	if _, err := conn.WriteToUDPAddrPort(f.request(), to); err != nil {
		return fmt.Errorf("sending: %w", explain(ctx, err))
	}
	s := sight(ctx)
	s.waits("the first block")
	for buf := make([]byte, maxAnswer); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED): // the error of such a socket does not say where
			return explain(ctx, &net.OpError{Op: "asking", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED})
		case err != nil:
			return fmt.Errorf("no answer: %w", explain(ctx, err))
		case from.Addr().Unmap() != to.Addr():
			continue
		}
		answer, err := readTFTP(buf[:n])
		if err == nil && answer.code != tftpError {
			// The server must not send the block again. Nothing hangs on it.
			_, _ = conn.WriteToUDPAddrPort(endTFTP(answer), from)
			s.saw("answer", "%d bytes from port %d: %s", len(answer.data), from.Port(), quotation(answer.data))
		}
		if err != nil {
			return err
		}
		return f.judge(answer)
	}
}

// unconnected returns a socket that receives from any port, under the guard. A refusal by
// ICMP is an error of it all the same.
func unconnected(ctx context.Context, to netip.AddrPort) (*net.UDPConn, error) {
	network, level, option := "udp4", unix.IPPROTO_IP, unix.IP_RECVERR
	if to.Addr().Is6() {
		network, level, option = "udp6", unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	listen := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		return controlWith(level, option)(ctx, network, to.String(), c)
	}}
	conn, err := listen.ListenPacket(ctx, network, ":0")
	if err != nil {
		return nil, unable(ctx, err)
	}
	return conn.(*net.UDPConn), nil
}

// request returns the packet that asks for the file.
func (f *TFTP) request() []byte {
	return append([]byte{0, tftpRead}, f.File+"\x00octet\x00"...)
}

// endTFTP returns the packet that ends a transfer after its first block.
func endTFTP(first tftpPacket) []byte {
	if len(first.data) < tftpBlock {
		return []byte{0, tftpAck, 0, 1}
	}
	return []byte("\x00\x05\x00\x00keepcast has seen enough\x00")
}

// judge says what is wrong with an answer.
func (f *TFTP) judge(p tftpPacket) error {
	switch {
	case p.code == tftpError && p.number == tftpNotFound && f.MayBeMissing:
		return nil
	case p.code == tftpError:
		return fmt.Errorf("the server says error %d: %s", p.number, excerpt(p.data))
	case f.Content != nil && !f.Content.Match(p.data):
		return fmt.Errorf("no match for '%s' in the first %d bytes: %s", f.Content, len(p.data), excerpt(p.data))
	}
	return nil
}

// tftpPacket is the first block of a file, or an error.
type tftpPacket struct {
	code   byte
	number uint16 // of the error
	data   []byte // or the text of the error
}

// readTFTP reads the first answer of a server.
func readTFTP(packet []byte) (tftpPacket, error) {
	if len(packet) < 4 {
		return tftpPacket{}, fmt.Errorf("the answer is no packet of TFTP: %s", excerpt(packet))
	}
	p := tftpPacket{number: binary.BigEndian.Uint16(packet[2:]), data: packet[4:]}
	switch code := binary.BigEndian.Uint16(packet); {
	case code == tftpError:
		p.code = tftpError
		p.data, _, _ = bytes.Cut(p.data, []byte{0})
	case code != tftpData:
		return p, fmt.Errorf("the answer is of type %d, data has type 3: %s", code, excerpt(packet))
	case p.number != 1:
		return p, fmt.Errorf("the answer has block %d, expected block 1", p.number)
	case len(p.data) > tftpBlock:
		return p, fmt.Errorf("the answer has a block of %d bytes, more than 512", len(p.data))
	default:
		p.code = tftpData
	}
	return p, nil
}
