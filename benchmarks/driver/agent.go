package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	method         = "/grid.registry.v1.RegistryService/Heartbeat"
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 2 * time.Second
	mostAcks       = 500 // alerts that one message acknowledges
)

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
	opening      *stream // nil while there is none
	call         *stream // the same once everyone is registered on it
	incarnations map[string]uint64
	waiting      map[string]bool // who has not heard that it is registered on this stream
	sent         uint64          // beats on this stream
	owed         uint64          // the beat whose acknowledgement is measured, 0 where none is
	owedSince    time.Time
	registeredAt time.Time
	lastBeatAt   time.Time
	silent       bool
	overdue      bool // a beat came due while the answer to the registration was on its way
	wasAttached  bool
	times        int // how often it was registered; only its reader counts
}

func (a *agent) id() string { return a.ids[0] }

// run keeps the stream until the agent is dead or the context ends. Who hangs does not connect again.
func (a *agent) run(ctx context.Context) {
	attempt := 0
	for ctx.Err() == nil && !a.isDead() {
		registered, err := a.live(ctx)
		if ctx.Err() != nil || a.isDead() {
			return
		}
		var failed *net.OpError
		switch {
		case errors.As(err, &failed):
			a.fleet.report.count("stream ended: " + failed.Op + ": " + failed.Err.Error())
		default:
			a.fleet.report.count("stream ended: " + err.Error())
		}
		if registered {
			if a.named {
				a.fleet.report.say("ended", map[string]any{"id": a.id(), "at": seconds(time.Now()), "why": err.Error()})
			}
			a.fleet.lost(a)
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

func (a *agent) isDead() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent || a.link.dead.Load()
}

// live opens one stream and stays until it ends; it returns whether everyone was registered on it.
func (a *agent) live(ctx context.Context) (registered bool, err error) {
	call, err := a.link.open(ctx, a)
	if err != nil {
		return false, err
	}
	defer call.close()
	a.mu.Lock()
	a.opening, a.sent, a.owed = call, 0, 0
	a.waiting = make(map[string]bool, len(a.ids))
	for _, id := range a.ids {
		a.waiting[id] = true
	}
	a.mu.Unlock()
	for _, id := range a.ids {
		if err = a.register(call, id); err != nil {
			break
		}
	}
	if err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-call.ended:
			err = call.err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	registered = a.call != nil
	a.call, a.opening = nil, nil
	return registered, err
}

// take is called with each message that comes, one after the other.
func (a *agent) take(message []byte) {
	now := time.Now()
	word, body := decode(message)
	switch word {
	case saidAck:
		_, sequence := field(body, 1)
		a.acked(sequence, now)
	case saidRegistered:
		a.registered(body, now)
	case saidAlert:
		a.fleet.alerted(a, decodeAlert(body), now)
	case saidUnknown:
		id, _ := field(body, 1)
		a.mu.Lock()
		delete(a.incarnations, string(id))
		call := a.opening
		a.mu.Unlock()
		a.fleet.report.count(words[word])
		if call != nil {
			a.register(call, string(id)) // where it fails the stream ends, and it is tried again
		}
	default:
		a.fleet.report.count(words[word])
	}
}

func (a *agent) register(call *stream, id string) error {
	a.mu.Lock()
	incarnation := a.incarnations[id]
	a.mu.Unlock()
	return call.send(encodeRegister(id, a.parent, a.fleet.instance, a.fleet.interval, incarnation))
}

// registered notes one answer. The last that was waited for makes the stream one that carries everybody.
func (a *agent) registered(body []byte, now time.Time) {
	service, _ := field(body, 1)
	id, _ := field(service, 1)
	_, incarnation := field(service, 20)
	a.mu.Lock()
	a.incarnations[string(id)] = incarnation
	delete(a.waiting, string(id))
	all := len(a.waiting) == 0 && a.call == nil && a.opening != nil
	first := all && !a.wasAttached
	overdue := all && a.overdue
	if all {
		a.call, a.registeredAt, a.wasAttached, a.overdue = a.opening, now, true, false
	}
	a.mu.Unlock()
	if all {
		a.fleet.attached(a, now)
	}
	if first {
		a.fleet.pacer.add(a, now.Add(rand.N(a.fleet.interval)))
	} else if overdue { // as the SDK, which is never silent for longer than an interval after it registered
		a.beat()
	}
}

// beat sends one message with a beat for everyone; nothing where it is not registered or has been silenced.
func (a *agent) beat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.call == nil {
		a.overdue = a.opening != nil
		return
	}
	if a.silent {
		return
	}
	now := time.Now()
	if a.call.send(a.beats) != nil {
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
		if a.call.send(encodeAcks(some)) != nil {
			return // it is sent again, and acknowledged then
		}
	}
}
