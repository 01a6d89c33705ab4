package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	acksEvery = 5 * time.Millisecond   // alerts are acknowledged together that come within this
	cutAfter  = 200 * time.Millisecond // from its registration to the end of a canary that is cut while others attach
)

// fleet is everyone: the mass that only has to live, the canaries that die, and the parents who must be told.
type fleet struct {
	report   *report
	pacer    *pacer
	instance string
	interval time.Duration

	mu       sync.Mutex
	canaries map[string]*agent
	mass     []*agent
	unacked  map[*agent][]string
	alerts   chan struct{}

	expected   int
	earlyAt    int // the registration of which the early canaries die
	up         atomic.Int64
	openedAt   time.Time
	parentsUp  chan struct{}
	parentsDue atomic.Int64
}

func newFleet(out *report, instance string, interval time.Duration) *fleet {
	return &fleet{
		report: out, pacer: newPacer(interval, out), instance: instance, interval: interval,
		canaries: map[string]*agent{}, unacked: map[*agent][]string{},
		alerts: make(chan struct{}, 1), parentsUp: make(chan struct{}),
	}
}

// enlist makes agents with these ids that share one stream on a link.
func (f *fleet) enlist(on *link, parent string, named bool, ids ...string) *agent {
	return &agent{
		fleet: f, link: on, ids: ids, parent: parent, named: named, beats: encodeBeats(ids, true),
		incarnations: map[string]uint64{},
	}
}

// attached is called when a stream carries everyone it should. The early canaries die of it.
func (f *fleet) attached(a *agent, now time.Time) {
	if a.named {
		f.report.say("registered", map[string]any{"id": a.id(), "at": seconds(now)})
	}
	a.times++
	switch {
	case a.times != f.earlyAt:
	case strings.HasPrefix(a.id(), "early-cut-"):
		time.AfterFunc(cutAfter, func() { f.cut(a.id()) })
	case strings.HasPrefix(a.id(), "early-silent-"):
		f.silence(a.id())
	}
	if a.isParent() {
		if a.times == 1 && f.parentsDue.Add(-1) == 0 {
			close(f.parentsUp)
		}
		return
	}
	if up := f.up.Add(int64(len(a.ids))); up == int64(f.expected) {
		f.report.say("attached", map[string]any{
			"count": up, "seconds": now.Sub(f.openedAt).Seconds(), "at": seconds(now),
		})
	}
}

// lost is called when a stream that carried everyone it should has ended, and they live.
func (f *fleet) lost(a *agent) {
	if !a.isParent() {
		f.up.Add(-int64(len(a.ids)))
	}
}

func (a *agent) isParent() bool { return a.id() == canaryParent || a.id() == massParent }

// alerted tells an alert about a canary in a line of its own, and counts the others.
func (f *fleet) alerted(to *agent, heard alert, now time.Time) {
	if to.id() == massParent {
		f.report.tell(heard.kind, now)
	} else {
		f.report.say("alert", map[string]any{
			"to": to.id(), "type": heard.kind, "id": heard.serviceID, "at": seconds(now),
			"occurred_at": heard.occurredAt, "sequence": heard.sequence,
		})
	}
	f.mu.Lock()
	f.unacked[to] = append(f.unacked[to], heard.id)
	f.mu.Unlock()
	select {
	case f.alerts <- struct{}{}:
	default:
	}
}

// acknowledge answers alerts until the context ends.
func (f *fleet) acknowledge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.alerts:
		}
		time.Sleep(acksEvery)
		f.mu.Lock()
		due := f.unacked
		if len(due) > 0 {
			f.unacked = map[*agent][]string{}
		}
		f.mu.Unlock()
		for to, alertIDs := range due {
			to.acknowledge(alertIDs)
		}
	}
}

// open starts everyone, spread evenly over the ramp.
func (f *fleet) open(ctx context.Context, everyone []*agent, ramp time.Duration) {
	f.openedAt = time.Now()
	for index, each := range everyone {
		at := f.openedAt.Add(ramp * time.Duration(index) / time.Duration(len(everyone)))
		if wait := time.Until(at); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		go each.run(ctx)
	}
	f.report.say("opened", map[string]any{"seconds": time.Since(f.openedAt).Seconds(), "at": seconds(time.Now())})
}

// cut ends a canary as a power switch does. It must have its link for itself.
func (f *fleet) cut(id string) error {
	return f.die(id, "cut", func(a *agent) time.Time { return a.link.cut() })
}

// silence lets a canary hang: its stream stays.
func (f *fleet) silence(id string) error { return f.die(id, "silent", (*agent).silence) }

func (f *fleet) die(id, how string, kill func(*agent) time.Time) error {
	f.mu.Lock()
	victim := f.canaries[id]
	f.mu.Unlock()
	if victim == nil {
		return fmt.Errorf("there is no canary %q", id)
	}
	at := kill(victim)
	victim.mu.Lock()
	defer victim.mu.Unlock()
	f.report.say("died", map[string]any{
		"id": id, "how": how, "at": seconds(at), "registered_at": seconds(victim.registeredAt),
		"last_beat_at": seconds(later(victim.lastBeatAt, victim.registeredAt)),
	})
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cutMass cuts links of the mass until so many agents are dead; it returns how many are.
func (f *fleet) cutMass(count int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	began := time.Now()
	dead, links := 0, 0
	var last *link
	for len(f.mass) > 0 {
		victim := f.mass[len(f.mass)-1]
		if dead >= count && victim.link != last {
			break
		}
		if victim.link != last {
			last = victim.link
			last.cut()
			links++
		}
		dead += len(victim.ids)
		f.mass = f.mass[:len(f.mass)-1]
	}
	f.report.say("mass_died", map[string]any{
		"count": dead, "connections": links, "at": seconds(began), "seconds": time.Since(began).Seconds(),
	})
	return dead
}
