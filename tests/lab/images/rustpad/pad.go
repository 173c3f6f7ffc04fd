package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const longest = 100000 // characters, as in the original

// What people send: one of the four, by name.
type clientMessage struct {
	Edit *struct {
		Revision  *int       `json:"revision"`
		Operation *operation `json:"operation"`
	}
	SetLanguage *string
	ClientInfo  *userInfo
	CursorData  *cursorData
}

type userInfo struct {
	Name *string `json:"name"`
	Hue  *uint32 `json:"hue"`
}

type cursorData struct {
	Cursors    []uint32    `json:"cursors"`
	Selections [][2]uint32 `json:"selections"`
}

type userOperation struct {
	ID        uint64    `json:"id"`
	Operation operation `json:"operation"`
}

// A pad: one text and the people who have it open.
type pad struct {
	mutex      sync.Mutex
	text       []rune
	language   *string
	operations []userOperation
	next       uint64
	people     map[uint64]*person
	accessed   time.Time
	saved      int
}

type person struct {
	info    *userInfo
	cursor  *cursorData
	outbox  chan any
	known   int // operations already sent
	closing bool
}

func newPad(text string, language *string) *pad {
	made := &pad{people: map[uint64]*person{}, accessed: time.Now(), language: language}
	if text != "" || language != nil {
		made.text = []rune(text)
		whole := operation{}
		whole.add(part{insert: made.text})
		made.operations = []userOperation{{ID: math.MaxUint64, Operation: whole}}
		made.saved = 1
	}
	return made
}

// serve speaks with one person until the connection ends. Whatever is not the protocol ends it.
func (p *pad) serve(socket *websocket.Conn) {
	defer socket.Close()
	p.mutex.Lock()
	id, me := p.next, &person{outbox: make(chan any, 256)}
	p.next++
	me.send(map[string]any{"Identity": id})
	p.sendHistory(me)
	if p.language != nil {
		me.send(map[string]any{"Language": *p.language})
	}
	for other, someone := range p.people {
		if someone.info != nil {
			me.send(about(other, someone.info))
		}
	}
	for other, someone := range p.people {
		if someone.cursor != nil {
			me.send(cursorOf(other, *someone.cursor))
		}
	}
	p.people[id] = me
	p.mutex.Unlock()

	go func() {
		for message := range me.outbox {
			if socket.WriteJSON(message) != nil {
				break
			}
		}
		socket.Close()
	}()
	for {
		kind, data, err := socket.ReadMessage()
		if err != nil {
			break
		}
		if kind == websocket.TextMessage {
			if err := p.handle(id, me, data); err != nil {
				warn("connection terminated early: %v", err)
				break
			}
		}
	}

	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.people, id)
	me.closing = true
	close(me.outbox)
	p.sendAll(about(id, nil))
}

func (p *pad) handle(id uint64, me *person, data []byte) error {
	var message clientMessage
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&message); err != nil {
		return err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch {
	case message.Edit != nil:
		if message.Edit.Revision == nil || message.Edit.Operation == nil {
			return errors.New("an edit needs revision and operation")
		}
		return p.edit(id, *message.Edit.Revision, *message.Edit.Operation)
	case message.SetLanguage != nil:
		p.language = message.SetLanguage
		p.sendAll(map[string]any{"Language": *p.language})
	case message.ClientInfo != nil:
		if message.ClientInfo.Name == nil || message.ClientInfo.Hue == nil {
			return errors.New("a person needs name and hue")
		}
		me.info = message.ClientInfo
		p.sendAll(about(id, me.info))
	case message.CursorData != nil:
		me.cursor = message.CursorData
		p.sendAll(cursorOf(id, *me.cursor))
	default:
		return errors.New("a message of no known kind")
	}
	return nil
}

func (p *pad) edit(id uint64, revision int, op operation) error {
	if revision < 0 || revision > len(p.operations) {
		return fmt.Errorf("got revision %d, but current is %d", revision, len(p.operations))
	}
	for _, earlier := range p.operations[revision:] {
		var err error
		if op, err = transform(op, earlier.Operation); err != nil {
			return err
		}
	}
	if op.after() > longest {
		return fmt.Errorf("target length %d is greater than %d", op.after(), longest)
	}
	text, err := op.apply(p.text)
	if err != nil {
		return err
	}
	p.text = text
	p.operations = append(p.operations, userOperation{ID: id, Operation: op})
	for _, someone := range p.people {
		someone.move(op)
		p.sendHistory(someone)
	}
	return nil
}

func (s *person) move(op operation) {
	if s.cursor == nil {
		return
	}
	for i, at := range s.cursor.Cursors {
		s.cursor.Cursors[i] = op.position(at)
	}
	for i, at := range s.cursor.Selections {
		s.cursor.Selections[i] = [2]uint32{op.position(at[0]), op.position(at[1])}
	}
}

func (p *pad) sendHistory(to *person) {
	if to.known < len(p.operations) {
		news := append([]userOperation{}, p.operations[to.known:]...)
		to.send(map[string]any{"History": map[string]any{"start": to.known, "operations": news}})
		to.known = len(p.operations)
	}
}

func (p *pad) sendAll(message any) {
	for _, someone := range p.people {
		someone.send(message)
	}
}

// send never waits: who does not read is dropped.
func (s *person) send(message any) {
	if s.closing {
		return
	}
	select {
	case s.outbox <- message:
	default:
		s.closing = true
	}
}

func about(id uint64, info *userInfo) any {
	return map[string]any{"UserInfo": map[string]any{"id": id, "info": info}}
}

func cursorOf(id uint64, data cursorData) any {
	copied := cursorData{append([]uint32{}, data.Cursors...), append([][2]uint32{}, data.Selections...)}
	return map[string]any{"UserCursor": map[string]any{"id": id, "data": copied}}
}
