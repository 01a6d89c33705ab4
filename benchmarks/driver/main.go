// Command driver is the load of the benchmarks: tens of thousands of agents in one process, each on a stream of its own,
// beside canaries that die on demand and the parent that must be told. It speaks the contract of proto/grid from outside,
// in another language than the servers, and is cheap enough to leave them the processors.
//
// It prints one JSON object a line and takes commands on stdin:
//
//	cut ID         reset the connection of a canary
//	silence ID     end the beats of a canary, leave its stream open
//	cut-mass N     reset connections of the mass until N agents are dead
//	acks           print the latencies of acknowledgements since the last time
//	totals         print what was counted since the start
//
// With -relay it is one gateway instead: it registers services that have no stream, many in a message, and sends their
// beats, and takes `acks`, `totals` and
//
//	flood N        keep N messages of beats on their way; 0: every service beats once an interval again
//	beats          print how many beats were sent and acknowledged
//
// It ends when stdin does.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const (
	canaryParent = "canary-parent"
	massParent   = "mass-parent"
	mostAgents   = 200_000
)

func main() {
	address := flag.String("address", "", "host:port of the registry")
	agents := flag.Int("agents", 1000, "agents of the mass")
	perStream := flag.Int("per-stream", 1, "agents of the mass that share a stream")
	perConnection := flag.Int("per-connection", 200, "streams of the mass that share a connection")
	ramp := flag.Duration("ramp", 4*time.Second, "time over which the streams are opened")
	interval := flag.Duration("interval", 5*time.Second, "time between two beats")
	canaries := flag.Int("canaries", 0, "canaries that live until they are told otherwise: canary-1 ...")
	earlyCut := flag.Int("early-cut", 0, "canaries that are cut soon after they were registered: early-cut-1 ...")
	earlySilent := flag.Int("early-silent", 0, "canaries that fall silent when they were registered: early-silent-1 ...")
	earlyAt := flag.Int("early-at", 1, "the registration of which the early canaries die; 2: after they came back")
	relayed := flag.Int("relay", 0, "services that have no stream, for which it relays; there are no agents then")
	perGroup := flag.Int("per-message", 100, "beats of a relay in one message")
	perCall := flag.Int("registers", 100, "registrations of a relay in one message")
	window := flag.Int("window", 2, "messages with registrations of a relay on their way")
	form := flag.String("form", "columns", "the form of a relay's beats: columns, or beats")
	limit := flag.Duration("limit", 20*time.Minute, "the longest it may run")
	ca := flag.String("ca", "", "PEM file with the CA of the registry: TLS")
	cert := flag.String("cert", "", "PEM file with the certificate that it presents")
	key := flag.String("key", "", "PEM file with the key of -cert")
	token := flag.String("token-file", "", "file with the token that it sends")
	flag.Parse()
	if *address == "" || *agents < 1 || *agents > mostAgents || *perStream < 1 || *perConnection < 1 {
		fmt.Fprintln(os.Stderr, "driver: -address is needed, and counts above 0 and up to", mostAgents)
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()

	to, err := newTarget(*address, *ca, *cert, *key, *token)
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(2)
	}
	out := newReport()
	if *relayed > 0 {
		one := &relay{
			report: out, link: newLink(to), instance: fmt.Sprintf("driver-%d", rand.Uint64()), services: *relayed,
			perGroup: *perGroup, perCall: *perCall, window: *window, columns: *form == "columns", interval: *interval,
		}
		go func() {
			if err := one.run(ctx); err != nil {
				one.fail(err)
			}
		}()
		obey(ctx, one)
		return
	}
	all := newFleet(out, fmt.Sprintf("driver-%d", rand.Uint64()), *interval)
	all.earlyAt = *earlyAt
	go all.pacer.run(ctx)
	go all.acknowledge(ctx)
	all.parentsDue.Store(2)
	for _, id := range []string{canaryParent, massParent} {
		go all.enlist(newLink(to), "", true, id).run(ctx)
	}
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-all.parentsUp:
		}
		all.open(ctx, all.assemble(to, *agents, *perStream, *perConnection, *canaries, *earlyCut, *earlySilent), *ramp)
	}()
	obey(ctx, all)
}

// assemble makes everyone, in the order of the ramp: the early canaries lie between its 20 and 80 %.
func (f *fleet) assemble(to target, agents, perStream, perConnection, canaries, earlyCut, earlySilent int) []*agent {
	var everyone []*agent
	var on *link
	for first := 0; first < agents; first += perStream {
		if len(f.mass)%perConnection == 0 {
			on = newLink(to)
		}
		var ids []string
		for number := first; number < min(first+perStream, agents); number++ {
			ids = append(ids, "agent-"+strconv.Itoa(number))
		}
		f.mass = append(f.mass, f.enlist(on, massParent, false, ids...))
	}
	f.expected = agents + canaries + earlyCut + earlySilent
	var early []*agent
	for number := 1; number <= max(earlyCut, earlySilent); number++ {
		if number <= earlyCut {
			early = append(early, f.canary(to, fmt.Sprintf("early-cut-%d", number)))
		}
		if number <= earlySilent {
			early = append(early, f.canary(to, fmt.Sprintf("early-silent-%d", number)))
		}
	}
	for number := 1; number <= canaries; number++ {
		everyone = append(everyone, f.canary(to, fmt.Sprintf("canary-%d", number)))
	}
	placed := 0
	for index, each := range f.mass {
		everyone = append(everyone, each)
		for placed < len(early) && index*len(early)*10 >= len(f.mass)*(2*len(early)+6*placed) {
			everyone = append(everyone, early[placed])
			placed++
		}
	}
	return append(everyone, early[placed:]...)
}

func (f *fleet) canary(to target, id string) *agent {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.canaries[id] = f.enlist(newLink(to), canaryParent, true, id)
	return f.canaries[id]
}

// commanded takes one command, in words.
type commanded interface{ command(words []string) error }

// obey takes commands until stdin or the context ends.
func obey(ctx context.Context, all commanded) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, "driver: its time is up")
			os.Exit(3)
		case line, open := <-lines:
			if !open {
				return
			}
			if err := all.command(strings.Fields(line)); err != nil {
				fmt.Fprintln(os.Stderr, "driver:", err)
				os.Exit(2)
			}
		}
	}
}

func (f *fleet) command(words []string) error {
	argument := ""
	if len(words) == 2 {
		argument = words[1]
	}
	if len(words) == 0 || len(words) > 2 {
		return fmt.Errorf("%q is no command", words)
	}
	switch words[0] {
	case "cut":
		return f.cut(argument)
	case "silence":
		return f.silence(argument)
	case "cut-mass":
		count, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		f.cutMass(count)
	case "acks":
		f.report.say("acks", f.report.takeAcks())
	case "totals":
		facts := f.report.totals()
		facts["attached"] = f.up.Load()
		f.report.say("totals", facts)
	default:
		return fmt.Errorf("%q is no command", words)
	}
	return nil
}
