package main

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of proto/grid that an agent needs, encoded and decoded by hand: no stubs have to be generated, and a
// beat costs no allocation.

// What a HeartbeatResponse carries: the field number of its oneof.
const (
	saidRegistered   = 1
	saidAck          = 2
	saidAlert        = 3
	saidUnknown      = 4
	saidSuperseded   = 5
	saidDeclaredDown = 6
	saidDrain        = 7
	saidRejected     = 8
)

var words = map[protowire.Number]string{
	saidUnknown:      "unknown_service",
	saidSuperseded:   "superseded",
	saidDeclaredDown: "declared_down",
	saidDrain:        "drain",
	saidRejected:     "rejected",
}

func appendString(to []byte, field protowire.Number, value string) []byte {
	if value == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), value)
}

func appendMessage(to []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), message)
}

func appendNumber(to []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return to
	}
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), value)
}

// encodeRegister makes HeartbeatRequest.register.
func encodeRegister(id, parent, instance string, interval time.Duration, incarnation uint64) []byte {
	return appendMessage(nil, 1, registerOf(id, parent, instance, interval, incarnation))
}

// registerOf makes a Register.
func registerOf(id, parent, instance string, interval time.Duration, incarnation uint64) []byte {
	period := appendNumber(nil, 1, uint64(interval/time.Second))
	period = appendNumber(period, 2, uint64(interval%time.Second))
	service := appendString(nil, 1, id)
	service = appendString(service, 2, id)
	service = appendString(service, 8, parent)
	service = appendMessage(service, 11, period)
	service = appendNumber(service, 20, incarnation)
	register := appendMessage(nil, 1, service)
	return appendString(register, 2, instance)
}

// encodeBeats makes HeartbeatRequest.beats with one beat for each id, answered at once where asked.
func encodeBeats(ids []string, ackRequested bool) []byte {
	var beats []byte
	for _, id := range ids {
		beats = appendMessage(beats, 1, appendString(nil, 1, id))
	}
	if ackRequested {
		beats = appendNumber(beats, 2, 1)
	}
	return appendMessage(nil, 2, beats)
}

// encodeAcks makes HeartbeatRequest.ack.
func encodeAcks(alertIDs []string) []byte {
	var ids []byte
	for _, id := range alertIDs {
		ids = appendString(ids, 1, id)
	}
	return appendMessage(nil, 3, ids)
}

// field returns the first value of a field; nil and 0 where it is unset or the bytes are not a message.
func field(message []byte, wanted protowire.Number) (bytes []byte, number uint64) {
	for len(message) > 0 {
		at, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return nil, 0
		}
		message = message[length:]
		size := protowire.ConsumeFieldValue(at, kind, message)
		if size < 0 {
			return nil, 0
		}
		if at == wanted {
			switch kind {
			case protowire.BytesType:
				bytes, _ = protowire.ConsumeBytes(message)
			case protowire.VarintType:
				number, _ = protowire.ConsumeVarint(message)
			case protowire.Fixed64Type:
				number, _ = protowire.ConsumeFixed64(message)
			}
			return bytes, number
		}
		message = message[size:]
	}
	return nil, 0
}

// decode returns which word of the registry's a message is, and that word's own message.
func decode(message []byte) (protowire.Number, []byte) {
	at, kind, length := protowire.ConsumeTag(message)
	if length < 0 || kind != protowire.BytesType {
		return 0, nil
	}
	body, size := protowire.ConsumeBytes(message[length:])
	if size < 0 {
		return 0, nil
	}
	return at, body
}

// alert is what is told of a grid.events.v1.Event.
type alert struct {
	id, kind, serviceID string
	sequence            uint64
	occurredAt          float64 // seconds since the epoch
}

func decodeAlert(body []byte) alert {
	event, _ := field(body, 1)
	var found alert
	_, found.sequence = field(event, 1)
	id, _ := field(event, 2)
	kind, _ := field(event, 4)
	service, _ := field(event, 6)
	found.id, found.kind, found.serviceID = string(id), string(kind), string(service)
	occurred, _ := field(event, 3)
	_, seconds := field(occurred, 1)
	_, nanos := field(occurred, 2)
	found.occurredAt = math.Round((float64(seconds)+float64(nanos)/1e9)*1e6) / 1e6
	return found
}
