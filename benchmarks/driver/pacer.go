package main

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const together = 2 * time.Millisecond // beats that are due within this may leave together: that spares wake-ups

// pacer sends everyone's beats from one goroutine, each at its time.
type pacer struct {
	interval time.Duration
	report   *report
	mu       sync.Mutex
	due      schedule
	sooner   chan struct{}
}

type turn struct {
	at    time.Time
	agent *agent
}

type schedule []turn

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(each any)     { *s = append(*s, each.(turn)) }
func (s *schedule) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

func newPacer(interval time.Duration, report *report) *pacer {
	return &pacer{interval: interval, report: report, sooner: make(chan struct{}, 1)}
}

// add makes an agent beat from a moment on, for as long as its link is not cut.
func (p *pacer) add(a *agent, first time.Time) {
	p.mu.Lock()
	heap.Push(&p.due, turn{first, a})
	isNext := p.due[0].agent == a
	p.mu.Unlock()
	if isNext {
		select {
		case p.sooner <- struct{}{}:
		default:
		}
	}
}

// run beats until the context ends.
func (p *pacer) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	for {
		next, wait := p.take(time.Now())
		if next != nil {
			next.beat()
			continue
		}
		timer.Reset(max(wait, together))
		select {
		case <-ctx.Done():
			return
		case <-p.sooner:
		case <-timer.C:
		}
	}
}

// take returns who is due, and puts it in for its next time; nil and how long to wait where nobody is.
func (p *pacer) take(now time.Time) (*agent, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.due) > 0 {
		first := p.due[0]
		if wait := first.at.Sub(now); wait > 0 {
			return nil, wait
		}
		if first.agent.link.dead.Load() {
			heap.Pop(&p.due)
			continue
		}
		p.report.beat(now.Sub(first.at))
		p.due[0].at = first.at.Add(p.interval)
		if p.due[0].at.Before(now) { // this process was stopped: beats that are over are not made up for
			p.due[0].at = now.Add(p.interval)
		}
		heap.Fix(&p.due, 0)
		return first.agent, 0
	}
	return nil, time.Hour
}
