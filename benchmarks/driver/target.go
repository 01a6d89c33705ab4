package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"time"
)

// Those of the SDK. The second includes the handshake of TLS.
const (
	connectTimeout = 5 * time.Second
	tlsTimeout     = 20 * time.Second
)

// target is where a link leads, and what its client presents there.
type target struct {
	address string
	tls     *tls.Config // nil: plaintext
	token   string
}

// newTarget reads the files; an empty name is none.
func newTarget(address, ca, cert, key, token string) (target, error) {
	to := target{address: address}
	if token != "" {
		content, err := os.ReadFile(token)
		if err != nil {
			return to, err
		}
		to.token = strings.TrimSpace(string(content))
	}
	if ca == "" {
		return to, nil
	}
	bundle, err := os.ReadFile(ca)
	if err != nil {
		return to, err
	}
	to.tls = &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	if !to.tls.RootCAs.AppendCertsFromPEM(bundle) {
		return to, errors.New(ca + " has no certificate in it")
	}
	to.tls.ServerName, _, err = net.SplitHostPort(address)
	if err == nil && cert != "" {
		var pair tls.Certificate
		pair, err = tls.LoadX509KeyPair(cert, key)
		to.tls.Certificates = []tls.Certificate{pair}
	}
	return to, err
}

func (to target) scheme() string {
	if to.tls == nil {
		return "http"
	}
	return "https"
}

// socket is a connection, and what is below its TLS.
type socket struct {
	net.Conn
	tcp *net.TCPConn
}

func (to target) dial(ctx context.Context) (*socket, error) {
	timeout := connectTimeout
	if to.tls != nil {
		timeout = tlsTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	made, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.address)
	if err != nil {
		return nil, err
	}
	tcp := made.(*net.TCPConn)
	if to.tls == nil {
		return &socket{tcp, tcp}, nil
	}
	secured := tls.Client(tcp, to.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, &net.OpError{Op: "handshake", Err: err}
	}
	return &socket{secured, tcp}, nil
}

// reset ends the connection without a word.
func (s *socket) reset() {
	s.tcp.SetLinger(0)
	s.tcp.Close()
}
