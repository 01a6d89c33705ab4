package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

const (
	method       = "/grid.registry.v1.RegistryService/Heartbeat"
	firstBackoff = 100 * time.Millisecond
	mostAcks     = 500 // alerts that one message acknowledges
)

var description = &grpc.StreamDesc{StreamName: "Heartbeat", ClientStreams: true, ServerStreams: true}

// agent is one Heartbeat stream with those whom it carries (one, unless told otherwise). It connects again as the SDK
// does, and registers with the incarnation that it holds.
type agent struct {
	fleet  *fleet
	link   *link
	ids    []string
	parent string
	named  bool // what happens to it is worth a line each
	beats  []byte

	mu           sync.Mutex
	call         grpc.ClientStream // nil while it is not registered
	incarnations map[string]uint64
	waiting      map[string]bool // who has not heard that it is registered on this stream
	sent         uint64          // beats on this stream
	owed         uint64          // the beat whose acknowledgement is measured, 0 where none is
	owedSince    time.Time
	registeredAt time.Time
	lastBeatAt   time.Time
	silent       bool
	wasAttached  bool
	times        int // how often it was registered; only its reader counts
}

func (a *agent) id() string { return a.ids[0] }

// run keeps the stream until the link is cut or the context ends.
func (a *agent) run(ctx context.Context) {
	attempt := 0
	for ctx.Err() == nil && !a.link.isDead() {
		registered, err := a.live(ctx)
		if ctx.Err() != nil || a.link.isDead() {
			return
		}
		a.fleet.report.count("stream ended: " + why(err))
		if a.named {
			a.fleet.report.say("ended", map[string]any{"id": a.id(), "at": seconds(time.Now()), "why": why(err)})
		}
		if registered {
			a.fleet.lost(len(a.ids))
			attempt = 0
		}
		// Full jitter, as the SDK's.
		longest := min(longestBackoff, firstBackoff<<min(attempt, 10))
		attempt++
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(longest)):
		}
	}
}

func why(err error) string {
	if err == io.EOF {
		return "OK"
	}
	said := status.Convert(err)
	return fmt.Sprintf("%s: %.100s", said.Code(), said.Message())
}

// live opens one stream and stays until it ends; it returns whether everyone was registered on it.
func (a *agent) live(ctx context.Context) (registered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := a.link.channel.NewStream(ctx, description, method)
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	a.sent, a.owed = 0, 0
	a.waiting = make(map[string]bool, len(a.ids))
	for _, id := range a.ids {
		a.waiting[id] = true
	}
	a.mu.Unlock()
	for _, id := range a.ids {
		if err := a.register(call, id); err != nil {
			return false, err
		}
	}
	defer func() {
		a.mu.Lock()
		a.call = nil
		a.mu.Unlock()
	}()
	for {
		var message []byte
		if err := call.RecvMsg(&message); err != nil {
			return registered, err
		}
		now := time.Now()
		word, body := decode(message)
		switch word {
		case saidAck:
			_, sequence := field(body, 1)
			a.acked(sequence, now)
		case saidRegistered:
			registered = a.registered(call, body, now) || registered
		case saidAlert:
			a.fleet.alerted(a, decodeAlert(body), now)
		case saidUnknown:
			id, _ := field(body, 1)
			a.mu.Lock()
			delete(a.incarnations, string(id))
			a.mu.Unlock()
			a.fleet.report.count(words[word])
			if err := a.register(call, string(id)); err != nil {
				return registered, err
			}
		default:
			a.fleet.report.count(words[word])
		}
	}
}

func (a *agent) register(call grpc.ClientStream, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	message := encodeRegister(id, a.parent, a.fleet.instance, a.fleet.interval, a.incarnations[id])
	return call.SendMsg(&message)
}

// registered notes one answer; it returns whether it was the last that was waited for.
func (a *agent) registered(call grpc.ClientStream, body []byte, now time.Time) bool {
	service, _ := field(body, 1)
	id, _ := field(service, 1)
	_, incarnation := field(service, 20)
	a.mu.Lock()
	a.incarnations[string(id)] = incarnation
	delete(a.waiting, string(id))
	all := len(a.waiting) == 0 && a.call == nil
	first := all && !a.wasAttached
	if all {
		a.call, a.registeredAt, a.wasAttached = call, now, true
	}
	a.mu.Unlock()
	if all {
		a.fleet.attached(a, now)
	}
	if first {
		a.fleet.pacer.add(a, now.Add(rand.N(a.fleet.interval)))
	}
	return all
}

// beat sends one message with a beat for everyone; nothing where it is not registered or has been silenced.
func (a *agent) beat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.call == nil || a.silent {
		return
	}
	now := time.Now()
	if a.call.SendMsg(&a.beats) != nil {
		return // the reader hears why
	}
	a.lastBeatAt = now
	a.sent += uint64(len(a.ids))
	if a.owed == 0 {
		a.owed, a.owedSince = a.sent, now
	}
}

func (a *agent) acked(sequence uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owed != 0 && sequence >= a.owed {
		a.fleet.report.acked(now.Sub(a.owedSince))
		a.owed = 0
	}
}

// silence ends the beats; the stream stays open.
func (a *agent) silence() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = true
	return time.Now()
}

// acknowledge tells the registry which alerts were heard.
func (a *agent) acknowledge(alertIDs []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(alertIDs) > 0 && a.call != nil {
		some := alertIDs[:min(mostAcks, len(alertIDs))]
		alertIDs = alertIDs[len(some):]
		message := encodeAcks(some)
		if a.call.SendMsg(&message) != nil {
			return // it is sent again, and acknowledged then
		}
	}
}
