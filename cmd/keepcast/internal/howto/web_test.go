package howto

import (
	"net"
	"net/http"
	"testing"
)

// application answers every request at an address, until it is stopped.
func (h *host) application(at string) (stop func()) {
	h.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		h.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return func() {
		server.Close()
		<-served
	}
}

// TestNginx has an application that dies while nginx lives.
func TestNginx(t *testing.T) {
	onHost(t, "nginx openssl", func(h *host) {
		h.example("nginx.conf", "/etc/nginx/conf.d/anycast.conf")
		h.certificate("www.example.com", "/etc/nginx/tls/www.example.com.crt", "/etc/nginx/tls/www.example.com.key")
		stop := h.application("127.0.0.1:8080")
		h.keepcast("web.yaml")
		nginx := h.starts("nginx", "-g", "daemon off;")
		h.comesAndGoes(nil)
		stop()
		h.says("without the application", found{"web/page4": "502", "web/page6": "502", "web/tls": "502"})
		h.stops(nginx)
	})
}

// TestHAProxy has the servers behind it die one after the other, while HAProxy lives.
func TestHAProxy(t *testing.T) {
	onHost(t, "haproxy openssl", func(h *host) {
		h.example("haproxy.cfg", "/etc/haproxy/haproxy.cfg")
		h.certificate("www.example.com", "/etc/haproxy/cert.pem", "/etc/haproxy/key.pem")
		h.sh(`
cat /etc/haproxy/cert.pem /etc/haproxy/key.pem >/etc/haproxy/www.example.com.pem
install -d -o haproxy /run/haproxy
for n in 21 22 23; do ip address add 198.51.100.$n/24 dev eth0; done
`)
		one, two, three := h.application("198.51.100.21:8080"), h.application("198.51.100.22:8080"), h.application("198.51.100.23:8080")
		h.keepcast("loadbalancer.yaml")
		haproxy := h.starts("haproxy", "-W", "-f", "/etc/haproxy/haproxy.cfg")
		h.comesAndGoes(nil)
		one()
		two()
		h.says("of three servers one is left", found{"front/few": " is 1, expected >= 2"})
		three()
		h.says("none is left", found{"front/few": " is 0, expected >= 2", "front/servers": "503"})
		h.stops(haproxy)
	})
}
