package checks

import (
	"net"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// etcd starts Debian's etcd, a server of gRPC that has the health protocol, and returns its
// address. The others are members of its cluster that don't run.
func etcd(t *testing.T, scheme, others string, options ...string) string {
	t.Helper()
	program, ports := drivertest.Program(t, "etcd"), freePorts(t, 2)
	client, peer := scheme+"://"+ports[0], "http://"+ports[1]
	startDaemon(t, program, append([]string{
		"--data-dir", t.TempDir() + "/data", "--unsafe-no-fsync", "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer + others,
	}, options...)...)
	return ports[0]
}

// TestGRPCServer asks a real server. One that has no quorum listens, and serves nobody.
func TestGRPCServer(t *testing.T) {
	noLeaks(t)
	cert, key := accountOf(t, "root").pair(t)
	plain, alone := etcd(t, "http", ""), etcd(t, "http", ",other=http://"+freeAddress(t))
	secure := etcd(t, "https", "", "--cert-file", cert, "--key-file", key)
	fitAtLast(t, &GRPC{Address: plain})
	fitAtLast(t, &GRPC{Address: secure, Transport: "tls", TLS: TLS{CA: cert}})
	drivertest.Eventually(t, "the one without a quorum listens", func() bool {
		conn, err := net.Dial("tcp", alone)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for name, tt := range map[string]struct {
		at   string
		grpc GRPC
		err  string
	}{
		"server":    {at: plain},
		"tls":       {at: secure, grpc: GRPC{Transport: "tls", TLS: TLS{CA: cert}}},
		"not found": {at: plain, grpc: GRPC{Service: "none"}, err: `ADDR: health of none: NOT_FOUND, the server knows no such service: "unknown service"`},
		"no quorum": {at: alone, err: "ADDR: health of the server: timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.grpc.Address = tt.at
			checkOf(t, &tt.grpc, tt.err, tt.at)
		})
	}
	reuses := &GRPC{Address: secure, Transport: "tls", TLS: TLS{CA: cert}, Reuse: true, kept: new(kept)}
	defer reuses.Close()
	for range 3 {
		sameError(t, reuses.Check(within(t)), "", secure)
	}
	hangs(t, "etcd", reuses.Check, "ADDR: health of the server: timed out", secure)
	hangs(t, "etcd", (&GRPC{Address: plain}).Check, "ADDR: health of the server: timed out", plain)
	dies(t, "etcd", (&GRPC{Address: plain}).Check)
}
