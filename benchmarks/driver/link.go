package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// One connection of HTTP/2, as small as gRPC allows: a goroutine reads for all of its streams, and a message is one
// write. A library would do, at four times the cost.

const (
	retryDial      = 100 * time.Millisecond // so long everyone on a link fails at once after one has failed to connect
	readBuffer     = 32 << 10
	ourWindow      = 1 << 30 // bytes that the other side may send; given back at the half
	theirWindow    = 65_535  // what the other side takes before it says more
	largestFrame   = 16_384
	prefix         = 5 // bytes before each message of gRPC
	largestMessage = 16 << 20
)

var errDead = errors.New("the connection was cut by us")

// receiver is who is told what comes on a stream. It is called from the reader of the link.
type receiver interface {
	take(message []byte)
}

// stream is one call on a link.
type stream struct {
	link   *link
	id     uint32
	to     receiver
	window int64
	queue  []byte // DATA that waits for room
	rest   []byte // of a message that has not come whole
	ended  chan struct{}
	err    error // valid once ended is closed
}

// link is one connection, opened again when somebody needs it, until it is cut.
type link struct {
	to     target
	header []byte

	mu       sync.Mutex
	socket   *socket // nil while there is none
	framer   *http2.Framer
	out      bytes.Buffer
	streams  map[uint32]*stream
	nextID   uint32
	window   int64
	waiting  []*stream // for room in the window of the connection
	initial  int64
	consumed uint32
	leaving  bool // the other side said GOAWAY
	failedAt time.Time
	failure  error
	dead     atomic.Bool
}

func newLink(to target) *link {
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	encoder.SetMaxDynamicTableSize(0) // so that these bytes are the same for every stream
	fields := [][2]string{
		{":method", "POST"}, {":scheme", to.scheme()}, {":path", method}, {":authority", to.address},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "tron-driver"},
	}
	if to.token != "" {
		fields = append(fields, [2]string{"authorization", "Bearer " + to.token})
	}
	for _, each := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: each[0], Value: each[1]}); err != nil {
			panic(err)
		}
	}
	return &link{to: to, header: header.Bytes()}
}

// open starts a call; it connects first where there is no connection. What comes is given to the receiver.
func (l *link) open(ctx context.Context, to receiver) (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead.Load() {
		return nil, errDead
	}
	if l.socket == nil || l.leaving {
		if err := l.connect(ctx); err != nil {
			return nil, err
		}
	}
	made := &stream{link: l, id: l.nextID, to: to, window: l.initial, ended: make(chan struct{})}
	l.nextID += 2
	l.streams[made.id] = made
	err := l.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: made.id, BlockFragment: l.header, EndHeaders: true})
	if err != nil {
		return nil, err
	}
	return made, l.flush()
}

// connect must be called with the lock. Streams of a connection before it go on where that still lives.
func (l *link) connect(ctx context.Context) error {
	if time.Since(l.failedAt) < retryDial {
		return l.failure
	}
	made, err := l.to.dial(ctx)
	if err != nil {
		l.failedAt, l.failure = time.Now(), err
		return err
	}
	l.socket = made
	l.out.Reset()
	l.framer = http2.NewFramer(&l.out, nil)
	l.streams, l.waiting = map[uint32]*stream{}, nil
	l.nextID, l.window, l.initial, l.consumed, l.leaving = 1, theirWindow, theirWindow, 0, false
	l.out.WriteString(http2.ClientPreface)
	settings := []http2.Setting{
		{ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingInitialWindowSize, Val: ourWindow},
	}
	if err := l.framer.WriteSettings(settings...); err != nil {
		return err
	}
	if err := l.framer.WriteWindowUpdate(0, ourWindow-theirWindow); err != nil {
		return err
	}
	go l.read(l.socket, l.streams)
	return l.flush()
}

// flush must be called with the lock.
func (l *link) flush() error {
	if l.out.Len() == 0 {
		return nil
	}
	_, err := l.socket.Write(l.out.Bytes())
	l.out.Reset()
	return err
}

// send puts one message on the wire, or in the queue where the other side has no room for it.
func (s *stream) send(message []byte) error {
	l := s.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[s.id] != s {
		return errors.New("the stream has ended")
	}
	if len(s.queue) > largestMessage {
		return errors.New("nothing is read on the other side")
	}
	s.queue = append(s.queue, 0)
	s.queue = binary.BigEndian.AppendUint32(s.queue, uint32(len(message)))
	s.queue = append(s.queue, message...)
	l.write(s)
	return l.flush()
}

// write puts into the buffer what the windows allow. It must be called with the lock.
func (l *link) write(s *stream) {
	for len(s.queue) > 0 {
		room := min(s.window, l.window, largestFrame, int64(len(s.queue)))
		if room <= 0 {
			if l.window <= 0 {
				l.waiting = append(l.waiting, s)
			}
			return
		}
		if err := l.framer.WriteData(s.id, false, s.queue[:room]); err != nil {
			panic(err) // it is written to memory
		}
		s.queue = s.queue[room:]
		s.window -= room
		l.window -= room
	}
	s.queue = nil
}

// read tells every stream what comes, until the connection ends.
func (l *link) read(socket *socket, streams map[uint32]*stream) {
	framer := http2.NewFramer(nil, bufio.NewReaderSize(socket, readBuffer))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.SetReuseFrames()
	for {
		frame, err := framer.ReadFrame()
		if err == nil {
			err = l.take(socket, streams, frame)
		}
		if err == nil {
			continue
		}
		socket.Close()
		l.mu.Lock()
		if l.socket == socket {
			l.socket = nil
		}
		left := make([]*stream, 0, len(streams))
		for _, each := range streams {
			left = append(left, each)
		}
		clear(streams)
		l.mu.Unlock()
		for _, each := range left {
			each.end(fmt.Errorf("the connection ended: %w", err))
		}
		return
	}
}

func (l *link) take(socket *socket, streams map[uint32]*stream, frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.DataFrame:
		l.mu.Lock()
		to := streams[frame.StreamID]
		l.consumed += frame.Length
		var err error
		if l.consumed > ourWindow/2 && l.socket == socket {
			err = l.framer.WriteWindowUpdate(0, l.consumed)
			l.consumed = 0
			err = errors.Join(err, l.flush())
		}
		l.mu.Unlock()
		if to != nil {
			to.receive(frame.Data())
		}
		return err
	case *http2.MetaHeadersFrame:
		if frame.StreamEnded() {
			code, text := "", ""
			for _, each := range frame.RegularFields() {
				switch each.Name {
				case "grpc-status":
					code = each.Value
				case "grpc-message":
					text = each.Value
				}
			}
			l.finish(streams, frame.StreamID, fmt.Errorf("status %s: %.100s", code, text))
		}
		return nil
	case *http2.RSTStreamFrame:
		l.finish(streams, frame.StreamID, fmt.Errorf("reset: %s", frame.ErrCode))
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket != socket {
		return nil // only its streams are still of interest
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return nil
		}
		if size, told := frame.Value(http2.SettingInitialWindowSize); told {
			for _, each := range streams {
				each.window += int64(size) - l.initial
				l.write(each)
			}
			l.initial = int64(size)
		}
		if err := l.framer.WriteSettingsAck(); err != nil {
			return err
		}
	case *http2.PingFrame:
		if frame.IsAck() {
			return nil
		}
		if err := l.framer.WritePing(true, frame.Data); err != nil {
			return err
		}
	case *http2.WindowUpdateFrame:
		if to := streams[frame.StreamID]; to != nil {
			to.window += int64(frame.Increment)
			l.write(to)
		} else if frame.StreamID == 0 {
			l.window += int64(frame.Increment)
			waiting := l.waiting
			l.waiting = nil
			for _, each := range waiting {
				l.write(each)
			}
		}
	case *http2.GoAwayFrame:
		l.leaving = true
	}
	return l.flush()
}

func (l *link) finish(streams map[uint32]*stream, id uint32, err error) {
	l.mu.Lock()
	over := streams[id]
	delete(streams, id)
	l.mu.Unlock()
	if over != nil {
		over.end(err)
	}
}

// receive takes what came on the stream, and gives whole messages on.
func (s *stream) receive(data []byte) {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, data...)
		data = s.rest
	}
	for len(data) >= prefix {
		size := prefix + int(binary.BigEndian.Uint32(data[1:]))
		if len(data) < size {
			break
		}
		s.to.take(data[prefix:size])
		data = data[size:]
	}
	s.rest = append([]byte(nil), data...)
}

func (s *stream) end(err error) {
	s.err = err
	close(s.ended)
}

// close resets the stream, as a call that is given up.
func (s *stream) close() {
	l := s.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[s.id] != s {
		return
	}
	delete(l.streams, s.id)
	if l.framer.WriteRSTStream(s.id, http2.ErrCodeCancel) == nil {
		l.flush() // where it fails the reader says so
	}
}

// cut resets the connection without a word, for ever; it returns when that was.
func (l *link) cut() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead.Store(true)
	at := time.Now()
	if l.socket != nil {
		l.socket.reset()
	}
	return at
}
