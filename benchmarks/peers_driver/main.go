// Command peers_driver is one client of a system that detects failures: it holds the liveness of some ids until it is
// killed, or watches until an id is gone. Each system is used through its stock client; TRON through gRPC.
//
// It prints one JSON object a line: {"kind": "ready", "at": ...} once everything is held or watched, and as a watcher
// {"kind": "gone", "id": ..., "how": ..., "at": ...}. Times are seconds since the epoch. It ends when stdin does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// peer is a system that knows which clients are alive.
type peer interface {
	// hold keeps an id alive until the context ends; it calls ready once the id is known there. Its error says how the
	// liveness was lost.
	hold(ctx context.Context, id string, ready func()) error
	// watch calls gone for each id that is not alive any more; it calls ready once none can be missed.
	watch(ctx context.Context, ready func(), gone func(id, how string)) error
}

// settings is what a peer is used with.
type settings struct {
	address        string
	ttl            time.Duration // silence after which a client is gone
	renew          time.Duration // time between two signs of life, for peers whose client leaves that to the caller
	user, password string
}

var peers = map[string]func(settings) peer{
	"consul":    newConsul,
	"etcd":      newEtcd,
	"nats":      newNATS,
	"redis":     newRedis,
	"tron":      newTron,
	"zookeeper": newZooKeeper,
}

var errLost = errors.New("the peer does not hold this client alive any more")

func main() {
	name := flag.String("peer", "", "the system: consul, etcd, nats, redis, tron or zookeeper")
	role := flag.String("role", "hold", "hold or watch")
	ids := flag.String("ids", "", "the ids to hold, with commas between them")
	var use settings
	flag.StringVar(&use.address, "address", "", "host:port of the system")
	flag.DurationVar(&use.ttl, "ttl", 30*time.Second, "silence after which a client is gone")
	flag.DurationVar(&use.renew, "renew", 10*time.Second, "time between two signs of life")
	flag.StringVar(&use.user, "user", "", "user name, if the system needs one")
	flag.StringVar(&use.password, "password", os.Getenv("PEERS_DRIVER_PASSWORD"), "its password")
	flag.Parse()
	make, known := peers[*name]
	if !known || use.address == "" {
		fail(fmt.Errorf("-peer and -address are needed"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
		os.Exit(0)
	}()
	var err error
	if *role == "watch" {
		err = make(use).watch(ctx, func() { say("ready", nil) }, func(id, how string) {
			say("gone", map[string]any{"id": id, "how": how})
		})
	} else {
		err = holdAll(ctx, make(use), strings.Split(*ids, ","))
	}
	fail(err)
}

// holdAll holds every id; it returns when one is lost.
func holdAll(ctx context.Context, system peer, ids []string) error {
	var held sync.WaitGroup
	lost := make(chan error)
	for _, id := range ids {
		held.Add(1)
		go func() {
			err := system.hold(ctx, id, sync.OnceFunc(held.Done))
			lost <- fmt.Errorf("%s: %w", id, err)
		}()
	}
	go func() {
		held.Wait()
		say("ready", nil)
	}()
	return <-lost
}

var out sync.Mutex

func say(kind string, facts map[string]any) {
	at := time.Now()
	line := map[string]any{"kind": kind, "at": float64(at.UnixNano()) / 1e9}
	for name, fact := range facts {
		line[name] = fact
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "peers_driver:", err)
	os.Exit(1)
}
