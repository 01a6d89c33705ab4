package main

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	mostSamples = 2_000_000 // latencies kept; further ones are counted only
	mostReasons = 100       // different ends of streams that are told apart
	late        = 250 * time.Millisecond
)

// seconds is a moment as everybody prints it: seconds since the epoch.
func seconds(at time.Time) float64 { return math.Round(float64(at.UnixNano())/1e3) / 1e6 }

// report says what happens, one JSON object a line on stdout, and counts what happens too often for a line.
type report struct {
	mu      sync.Mutex
	out     *bufio.Writer
	acks    []time.Duration
	dropped int
	counts  map[string]int
	told    map[string]tally
	beats   lateness
}

// lateness is how many heartbeats left more than 250 ms after their time, and how late the latest was: this process, and not
// the server, then delayed them.
type lateness struct {
	Late     int     `json:"late"`
	LatestMs float64 `json:"latest_ms"`
}

// tally is how often something was told, and when first and last.
type tally struct {
	Count int     `json:"count"`
	First float64 `json:"first"`
	Last  float64 `json:"last"`
}

func newReport() *report {
	return &report{out: bufio.NewWriter(os.Stdout), counts: map[string]int{}, told: map[string]tally{}}
}

// say prints one line. Nobody waits longer than the reader of stdout lets it.
func (r *report) say(kind string, facts map[string]any) {
	facts["kind"] = kind
	line, err := json.Marshal(facts)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Write(append(line, '\n'))
	r.out.Flush()
}

// acked notes how long an acknowledgement took.
func (r *report) acked(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.acks) < mostSamples {
		r.acks = append(r.acks, took)
	} else {
		r.dropped++
	}
}

// count notes something that is worth a number, not a line.
func (r *report) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.counts[what]; !known && len(r.counts) >= mostReasons {
		what = "other"
	}
	r.counts[what]++
}

// beat notes by how much a heartbeat left after its time.
func (r *report) beat(after time.Duration) {
	if after < late {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats.Late++
	r.beats.LatestMs = max(r.beats.LatestMs, float64(after.Microseconds())/1e3)
}

// tell notes an alert that is one of many.
func (r *report) tell(kind string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	each := r.told[kind]
	if each.Count == 0 {
		each.First = seconds(at)
	}
	each.Count++
	each.Last = seconds(at)
	r.told[kind] = each
}

// takeAcks returns the distribution of the latencies in milliseconds since the last call, and forgets them.
func (r *report) takeAcks() map[string]any {
	r.mu.Lock()
	taken, dropped := r.acks, r.dropped
	r.acks, r.dropped = nil, 0
	r.mu.Unlock()
	slices.Sort(taken)
	found := map[string]any{"n": len(taken), "dropped": dropped}
	if len(taken) == 0 {
		return found
	}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1} {
		rank := max(0, int(math.Ceil(share*float64(len(taken))))-1)
		found[name] = float64(taken[rank].Microseconds()) / 1e3
	}
	return found
}

// totals returns what was counted since the start.
func (r *report) totals() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts, told := map[string]int{}, map[string]tally{}
	for what, number := range r.counts {
		counts[what] = number
	}
	for kind, each := range r.told {
		told[kind] = each
	}
	return map[string]any{"counts": counts, "told": told, "beats": r.beats}
}
