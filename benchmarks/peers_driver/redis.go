package main

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const expired = "__keyevent@0__:expired"

// redisKeys holds a key that expires, and hears of its end by a keyspace notification.
type redisKeys struct {
	settings
	client *redis.Client
}

func newRedis(use settings) peer {
	return redisKeys{use, redis.NewClient(&redis.Options{Addr: use.address})}
}

func (r redisKeys) hold(ctx context.Context, id string, ready func()) error {
	renewal := time.NewTicker(r.renew)
	for ; ; <-renewal.C {
		if err := r.client.Set(ctx, prefix+id, "alive", r.ttl).Err(); err != nil {
			return err
		}
		ready()
	}
}

func (r redisKeys) watch(ctx context.Context, ready func(), gone func(id, how string)) error {
	notices := r.client.PSubscribe(ctx, expired)
	if _, err := notices.Receive(ctx); err != nil {
		return err
	}
	ready()
	for notice := range notices.Channel() {
		gone(strings.TrimPrefix(notice.Payload, prefix), "expired")
	}
	return errLost
}
