package config

import (
	"slices"
	"testing"
)

func TestSecretFiles(t *testing.T) {
	for entry, want := range map[string][]string{
		"{kind: radius, address: a, secret_file: /s, send: access, user: u, password_file: /p}": {"/s", "/p"},
		"{kind: openvpn, address: a, tls_crypt_file: /k}":                                       {"/k"},
		"{kind: ldap, address: a, transport: tls, tls: {ca: /ca, cert: /c, key: /k}}":           {"/k"},
		"{kind: file, path: /f}":       nil,
		"{kind: process, pidfile: /f}": nil,
		"{kind: snmp, address: 'a:161', oid: 1.3.6.1.2.1.1.3.0, community_file: /c}": {"/c"},
	} {
		c := load(t, "services: [{name: a, addresses: [192.0.2.1], checks: ["+entry+"]}]\n")
		if got := c.Services[0].Checks[0].SecretFiles(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
}
