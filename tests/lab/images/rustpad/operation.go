package main

import (
	"encoding/json"
	"errors"
)

// An operation on a text, as operational transformation has it: parts that keep, delete or insert, from its start to its
// end. In JSON a part is a number of characters kept, a negative number of characters deleted, or a text inserted.
type operation []part

type part struct {
	insert []rune
	keep   int
	drop   int
}

var errLength = errors.New("the operation does not fit the text")

// add puts a part at the end. Neighbours of one kind become one part, and an insertion stands before a deletion.
func (op *operation) add(p part) {
	if len(p.insert)+p.keep+p.drop == 0 {
		return
	}
	last := len(*op) - 1
	if len(p.insert) > 0 && last >= 0 && (*op)[last].drop > 0 {
		deletion := (*op)[last]
		*op = (*op)[:last]
		op.add(p)
		*op = append(*op, deletion)
		return
	}
	if last >= 0 && (*op)[last].kind() == p.kind() {
		joined := part{keep: (*op)[last].keep + p.keep, drop: (*op)[last].drop + p.drop}
		joined.insert = append(append(joined.insert, (*op)[last].insert...), p.insert...)
		(*op)[last] = joined
		return
	}
	*op = append(*op, p)
}

func (p part) kind() string {
	switch {
	case len(p.insert) > 0:
		return "insert"
	case p.drop > 0:
		return "drop"
	}
	return "keep"
}

// before and after are the lengths of the text that the operation takes and makes.
func (op operation) before() (n int) {
	for _, p := range op {
		n += p.keep + p.drop
	}
	return n
}

func (op operation) after() (n int) {
	for _, p := range op {
		n += p.keep + len(p.insert)
	}
	return n
}

func (op operation) apply(text []rune) ([]rune, error) {
	if op.before() != len(text) {
		return nil, errLength
	}
	made, at := make([]rune, 0, op.after()), 0
	for _, p := range op {
		made = append(made, p.insert...)
		made = append(made, text[at:at+p.keep]...)
		at += p.keep + p.drop
	}
	return made, nil
}

// transform returns a as it is to be applied after b, where both were made of the same text. Where both insert at one
// place, a's text comes first.
func transform(a, b operation) (operation, error) {
	if a.before() != b.before() {
		return nil, errLength
	}
	var made operation
	left, right := append(operation{}, a...), append(operation{}, b...)
	for len(left) > 0 || len(right) > 0 {
		if len(left) > 0 && len(left[0].insert) > 0 {
			made.add(left[0])
			left = left[1:]
			continue
		}
		if len(right) > 0 && len(right[0].insert) > 0 {
			made.add(part{keep: len(right[0].insert)})
			right = right[1:]
			continue
		}
		n := min(left[0].keep+left[0].drop, right[0].keep+right[0].drop)
		if right[0].keep > 0 {
			if left[0].keep > 0 {
				made.add(part{keep: n})
			} else {
				made.add(part{drop: n})
			}
		}
		left, right = left.skip(n), right.skip(n)
	}
	return made, nil
}

// skip takes n characters off the first part, which inserts nothing.
func (op operation) skip(n int) operation {
	first := op[0]
	if first.keep > 0 {
		first.keep -= n
	} else {
		first.drop -= n
	}
	if first.keep+first.drop == 0 {
		return op[1:]
	}
	return append(operation{first}, op[1:]...)
}

// position is where a cursor at `at` stands after the operation.
func (op operation) position(at uint32) uint32 {
	rest, moved := int(at), int(at)
	for _, p := range op {
		switch {
		case len(p.insert) > 0:
			moved += len(p.insert)
		case p.drop > 0:
			moved -= min(rest, p.drop)
		}
		rest -= p.keep + p.drop
		if rest < 0 {
			break
		}
	}
	return uint32(max(moved, 0))
}

func (op operation) MarshalJSON() ([]byte, error) {
	parts := []any{}
	for _, p := range op {
		switch {
		case len(p.insert) > 0:
			parts = append(parts, string(p.insert))
		case p.drop > 0:
			parts = append(parts, -p.drop)
		default:
			parts = append(parts, p.keep)
		}
	}
	return json.Marshal(parts)
}

func (op *operation) UnmarshalJSON(data []byte) error {
	var parts []any
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	*op = operation{}
	for _, item := range parts {
		switch value := item.(type) {
		case string:
			op.add(part{insert: []rune(value)})
		case float64:
			if value != float64(int(value)) {
				return errLength
			}
			op.add(part{keep: max(int(value), 0), drop: max(-int(value), 0)})
		default:
			return errLength
		}
	}
	return nil
}
