package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	heartbeat       = "/grid.registry.v1.RegistryService/Heartbeat"
	watcher         = "watcher"
	watcherInterval = 5 * time.Second
)

// What a HeartbeatResponse carries: the field number of its oneof.
const (
	saidRegistered = 1
	saidAlert      = 3
)

// tron holds a Heartbeat stream. The watcher is the parent of all others, and receives the alerts about them.
type tron struct{ settings }

func newTron(use settings) peer { return tron{use} }

// raw passes messages as bytes, because the few fields that are needed are encoded here.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

func (t tron) hold(ctx context.Context, id string, ready func()) error {
	return t.live(ctx, id, watcher, t.renew, ready, nil)
}

func (t tron) watch(ctx context.Context, ready func(), gone func(id, how string)) error {
	return t.live(ctx, watcher, "", watcherInterval, ready, gone)
}

// live registers on a stream and sends heartbeats until the stream ends.
func (t tron) live(ctx context.Context, id, parent string, interval time.Duration, ready func(), gone func(id, how string)) error {
	conn, err := grpc.NewClient(t.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	description := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := conn.NewStream(ctx, description, heartbeat, grpc.ForceCodec(raw{}))
	if err != nil {
		return err
	}
	if err = stream.SendMsg(registration(id, parent, interval)); err != nil {
		return err
	}
	said := make(chan []byte)
	ended := make(chan error, 1)
	go func() {
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err != nil {
				ended <- err
				return
			}
			if event := inside(message, saidAlert); event != nil && gone != nil {
				event = inside(event, 1)
				gone(string(inside(event, 6)), string(inside(event, 4)))
			}
			said <- message
		}
	}()
	next := time.NewTicker(interval)
	for {
		var answer []byte
		select {
		case err := <-ended:
			return err
		case <-next.C:
			answer = field(nil, 2, field(nil, 1, field(nil, 1, []byte(id)))) // beats
		case message := <-said:
			if inside(message, saidRegistered) != nil {
				ready()
			}
			event := inside(inside(message, saidAlert), 1)
			if event == nil {
				continue
			}
			answer = field(nil, 3, field(nil, 1, inside(event, 2))) // ack
		}
		if err := stream.SendMsg(answer); err != nil {
			return <-ended
		}
	}
}

// registration makes HeartbeatRequest.register.
func registration(id, parent string, interval time.Duration) []byte {
	period := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(interval/time.Second))
	period = protowire.AppendVarint(protowire.AppendTag(period, 2, protowire.VarintType), uint64(interval%time.Second))
	service := field(nil, 1, []byte(id))
	service = field(service, 2, []byte(id))
	service = field(service, 8, []byte(parent))
	service = field(service, 11, period)
	register := field(nil, 1, service)
	register = field(register, 2, []byte("process-of-"+id))
	return field(nil, 1, register)
}

func field(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// inside returns the bytes of a field, empty if they are; nil if the message has no such field.
func inside(message []byte, wanted protowire.Number) []byte {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return nil
		}
		message = message[length:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return nil
		}
		if number == wanted && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			return append([]byte{}, value...)
		}
		message = message[size:]
	}
	return nil
}
