package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// What a HeartbeatResponse carries beside what agents need.
const saidRegistrations = 10

// relay registers services that have no stream, many in a message, and sends their beats as a gateway does: a message for
// each group of them, in columns or one by one. A service beats from its registration on.
type relay struct {
	report   *report
	link     *link
	instance string
	services int
	perGroup int
	perCall  int // registrations in one message
	window   int // messages of registrations on their way
	columns  bool
	interval time.Duration

	mu         sync.Mutex
	beats      *stream
	registers  *stream
	next       int // the number of the service that is registered next
	underWay   int // messages of registrations
	answered   int // registrations of the message that is answered now
	registered int
	forming    []registration
	groups     []*group
	due        groups
	sooner     chan struct{}
	beganAt    time.Time
	sent       uint64 // beats
	acked      uint64
	messages   []sending // those that are not acknowledged, oldest first
	flood      int       // messages on their way, however long an interval is; 0: each group once an interval
	turn       int       // the group that is next in a flood
}

type registration struct {
	id          string
	incarnation uint64
}

type sending struct {
	sequence uint64
	at       time.Time
}

// group is the services whose beats share a message.
type group struct {
	body  []byte // the message without its number
	count int
	at    time.Time // when it is due
}

type groups []*group

func (g groups) Len() int           { return len(g) }
func (g groups) Less(i, j int) bool { return g[i].at.Before(g[j].at) }
func (g groups) Swap(i, j int)      { g[i], g[j] = g[j], g[i] }
func (g *groups) Push(each any)     { *g = append(*g, each.(*group)) }
func (g *groups) Pop() any {
	last := (*g)[len(*g)-1]
	*g = (*g)[:len(*g)-1]
	return last
}

type receiverFunc func(message []byte)

func (f receiverFunc) take(message []byte) { f(message) }

// run registers everyone and beats until the context ends.
func (r *relay) run(ctx context.Context) error {
	r.sooner = make(chan struct{}, 1)
	var err error
	if r.beats, err = r.link.open(ctx, receiverFunc(r.takeAck)); err != nil {
		return err
	}
	if r.registers, err = r.link.open(ctx, receiverFunc(r.takeRegistered)); err != nil {
		return err
	}
	r.mu.Lock()
	r.beganAt = time.Now()
	for range r.window {
		r.registerMore()
	}
	r.mu.Unlock()
	go r.pace(ctx)
	select {
	case <-ctx.Done():
		return nil
	case <-r.beats.ended:
		return fmt.Errorf("the stream of beats: %w", r.beats.err)
	case <-r.registers.ended:
		return fmt.Errorf("the stream of registrations: %w", r.registers.err)
	}
}

// registerMore sends the next message of registrations. It must be called with the lock.
func (r *relay) registerMore() {
	count := min(r.perCall, r.services-r.next)
	if count <= 0 {
		return
	}
	var body []byte
	for range count {
		id := "relayed-" + strconv.Itoa(r.next)
		body = appendMessage(body, 1, registerOf(id, "", r.instance, r.interval, 0))
		r.next++
	}
	body = appendNumber(body, 2, 1)
	r.underWay++
	if err := r.registers.send(appendMessage(nil, 6, body)); err != nil {
		r.report.count("not sent: " + err.Error())
	}
}

// takeRegistered is called with each answer to a registration.
func (r *relay) takeRegistered(message []byte) {
	word, body := decode(message)
	switch word {
	case saidRegistered:
		r.take(body)
	case saidRegistrations:
		for len(body) > 0 {
			_, _, length := protowire.ConsumeTag(body)
			each, size := protowire.ConsumeBytes(body[length:])
			if size < 0 {
				return
			}
			r.take(each)
			body = body[length+size:]
		}
	default:
		r.report.count(words[word])
	}
}

// take notes one registration.
func (r *relay) take(body []byte) {
	service, _ := field(body, 1)
	id, _ := field(service, 1)
	_, incarnation := field(service, 20)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forming = append(r.forming, registration{string(id), incarnation})
	r.registered++
	r.answered++
	if len(r.forming) == r.perGroup || r.registered == r.services {
		r.form(now)
	}
	if r.answered >= r.perCall {
		r.answered -= r.perCall
		r.underWay--
		r.registerMore()
	}
	if r.registered == r.services {
		r.report.say("relay_registered", map[string]any{
			"count": r.registered, "seconds": now.Sub(r.beganAt).Seconds(), "at": seconds(now),
		})
	}
}

// form makes a group of those that are registered and in none yet; it beats within half an interval. With the lock.
func (r *relay) form(now time.Time) {
	made := &group{count: len(r.forming), at: now.Add(r.interval / 2)}
	if r.columns {
		var packed []byte
		for _, each := range r.forming {
			packed = protowire.AppendVarint(packed, each.incarnation)
		}
		made.body = appendMessage(nil, 1, packed)
	} else {
		for _, each := range r.forming {
			made.body = appendMessage(made.body, 1, appendString(nil, 1, each.id))
		}
	}
	r.forming = nil
	r.groups = append(r.groups, made)
	heap.Push(&r.due, made)
	if r.due[0] == made {
		select {
		case r.sooner <- struct{}{}:
		default:
		}
	}
}

// pace sends each group once an interval, until the context ends.
func (r *relay) pace(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	for {
		timer.Reset(max(r.sendDue(time.Now()), together))
		select {
		case <-ctx.Done():
			return
		case <-r.sooner:
		case <-timer.C:
		}
	}
}

// sendDue sends the groups that are due; it returns how long until the next is.
func (r *relay) sendDue(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flood > 0 {
		return time.Second
	}
	for len(r.due) > 0 {
		first := r.due[0]
		if wait := first.at.Sub(now); wait > 0 {
			return wait
		}
		first.at = first.at.Add(r.interval)
		if first.at.Before(now) {
			first.at = now.Add(r.interval)
		}
		heap.Fix(&r.due, 0)
		r.send(first, now)
	}
	return time.Hour
}

// send sends the beats of a group, and asks for their acknowledgement. It must be called with the lock.
func (r *relay) send(each *group, now time.Time) {
	r.sent += uint64(each.count)
	var body []byte
	if r.columns {
		body = appendMessage(nil, 5, appendNumber(append([]byte(nil), each.body...), 2, r.sent))
	} else {
		body = append([]byte(nil), each.body...)
	}
	body = appendNumber(body, 2, 1)
	body = appendNumber(body, 3, 1)
	r.messages = append(r.messages, sending{r.sent, now})
	if err := r.beats.send(appendMessage(nil, 2, body)); err != nil {
		r.report.count("not sent: " + err.Error())
	}
}

// takeAck is called with each answer to beats.
func (r *relay) takeAck(message []byte) {
	word, body := decode(message)
	if word != saidAck {
		r.report.count(words[word])
		return
	}
	_, sequence := field(body, 1)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = max(r.acked, sequence)
	for len(r.messages) > 0 && r.messages[0].sequence <= sequence {
		r.report.acked(now.Sub(r.messages[0].at))
		r.messages = r.messages[1:]
	}
	r.fill(now)
}

// fill sends what a flood has room for. It must be called with the lock.
func (r *relay) fill(now time.Time) {
	for len(r.messages) < r.flood && len(r.groups) > 0 {
		r.send(r.groups[r.turn%len(r.groups)], now)
		r.turn++
	}
}

func (r *relay) command(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "flood":
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		now := time.Now()
		r.mu.Lock()
		r.flood = count
		for _, each := range r.groups { // after a flood they beat as before it
			each.at = each.at.Add(now.Sub(each.at).Truncate(r.interval) + r.interval)
		}
		heap.Init(&r.due)
		r.fill(now)
		r.mu.Unlock()
		select {
		case r.sooner <- struct{}{}:
		default:
		}
	case len(words) == 1 && words[0] == "beats":
		r.mu.Lock()
		facts := map[string]any{"sent": r.sent, "acked": r.acked, "registered": r.registered}
		r.mu.Unlock()
		r.report.say("beats", facts)
	case len(words) == 1 && words[0] == "acks":
		r.report.say("acks", r.report.takeAcks())
	case len(words) == 1 && words[0] == "totals":
		r.report.say("totals", r.report.totals())
	default:
		return errors.New("no command of a relay")
	}
	return nil
}

// fail ends the program: a relay whose stream ended measures nothing.
func (r *relay) fail(err error) {
	fmt.Fprintln(os.Stderr, "driver: relay:", err)
	os.Exit(4)
}
