package main

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

const prefix = "peers/"

// etcd holds a key with a lease, which the session of the stock client keeps alive.
type etcd struct{ settings }

func newEtcd(use settings) peer { return etcd{use} }

func (e etcd) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{e.address}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
}

func (e etcd) hold(ctx context.Context, id string, ready func()) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(e.ttl/time.Second)))
	if err != nil {
		return err
	}
	if _, err = client.Put(ctx, prefix+id, "alive", clientv3.WithLease(session.Lease())); err != nil {
		return err
	}
	ready()
	<-session.Done()
	return errLost
}

func (e etcd) watch(ctx context.Context, ready func(), gone func(id, how string)) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	for response := range client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
		if response.Created {
			ready()
		}
		for _, event := range response.Events {
			if event.Type == clientv3.EventTypeDelete {
				gone(strings.TrimPrefix(string(event.Kv.Key), prefix), "deleted")
			}
		}
	}
	return errLost
}
