package main

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	connectTimeout = 5 * time.Second
	longestBackoff = 2 * time.Second
	window         = 1 << 20 // bytes; a fixed window, so that nothing is spent on probing for a better one
)

// link is one connection, with what is needed to cut it as a power switch does.
type link struct {
	channel *grpc.ClientConn
	mu      sync.Mutex
	socket  *net.TCPConn
	dead    bool
}

func newLink(address string) *link {
	made := &link{}
	channel, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(made.dial),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.WaitForReady(true)),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.5, MaxDelay: longestBackoff,
			},
			MinConnectTimeout: connectTimeout,
		}),
	)
	if err != nil {
		panic(err)
	}
	made.channel = channel
	return made
}

func (l *link) dial(ctx context.Context, address string) (net.Conn, error) {
	socket, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.socket = socket.(*net.TCPConn)
	if l.dead {
		socket.Close()
		return nil, net.ErrClosed
	}
	return socket, nil
}

// cut resets the connection without a word, for ever; it returns when that was.
func (l *link) cut() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	at := time.Now()
	if l.socket != nil {
		l.socket.SetLinger(0)
		l.socket.Close()
	}
	return at
}

func (l *link) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}
