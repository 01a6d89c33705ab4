package main

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"
)

const disconnects = "$SYS.ACCOUNT.*.DISCONNECT"

// natsConnection is alive while its connection is; the system account hears of the end of each.
type natsConnection struct{ settings }

func newNATS(use settings) peer { return natsConnection{use} }

func (n natsConnection) connect(name string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Name(name), nats.UserInfo(n.user, n.password))
	return nats.Connect("nats://"+n.address, options...)
}

func (n natsConnection) hold(_ context.Context, id string, ready func()) error {
	lost := make(chan struct{})
	_, err := n.connect(id, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(lost) }))
	if err != nil {
		return err
	}
	ready()
	<-lost
	return errLost
}

func (n natsConnection) watch(_ context.Context, ready func(), gone func(id, how string)) error {
	conn, err := n.connect("watcher")
	if err != nil {
		return err
	}
	_, err = conn.Subscribe(disconnects, func(message *nats.Msg) {
		var notice struct {
			Client struct {
				Name string `json:"name"`
			} `json:"client"`
			Reason string `json:"reason"`
		}
		if json.Unmarshal(message.Data, &notice) == nil {
			gone(notice.Client.Name, notice.Reason)
		}
	})
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		return err
	}
	ready()
	select {}
}
