package main

import (
	"context"

	"github.com/go-zookeeper/zk"
)

const folder = "/peers"

// zooKeeper holds an ephemeral node with a session, and watches its folder.
type zooKeeper struct{ settings }

func newZooKeeper(use settings) peer { return zooKeeper{use} }

type silent struct{}

func (silent) Printf(string, ...any) {}

// connect returns once there is a session.
func (z zooKeeper) connect() (*zk.Conn, <-chan zk.Event, error) {
	conn, events, err := zk.Connect([]string{z.address}, z.ttl, zk.WithLogger(silent{}))
	if err != nil {
		return nil, nil, err
	}
	for event := range events {
		if event.State == zk.StateHasSession {
			return conn, events, nil
		}
	}
	return nil, nil, errLost
}

func (z zooKeeper) hold(_ context.Context, id string, ready func()) error {
	conn, events, err := z.connect()
	if err != nil {
		return err
	}
	if _, err = conn.Create(folder+"/"+id, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		return err
	}
	ready()
	for event := range events {
		if event.State == zk.StateExpired {
			return errLost
		}
	}
	return errLost
}

func (z zooKeeper) watch(_ context.Context, ready func(), gone func(id, how string)) error {
	conn, _, err := z.connect()
	if err != nil {
		return err
	}
	if _, err = conn.Create(folder, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		return err
	}
	before := map[string]bool{}
	for {
		names, _, changed, err := conn.ChildrenW(folder)
		if err != nil {
			return err
		}
		now := map[string]bool{}
		for _, name := range names {
			now[name] = true
		}
		for name := range before {
			if !now[name] {
				gone(name, "node removed")
			}
		}
		before = now
		if ready != nil {
			ready()
			ready = nil
		}
		<-changed
	}
}
