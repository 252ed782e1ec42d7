package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readJSON turns a JSON text into a tree. The places of its nodes are not
// known: what is wrong is named by its JSON pointer alone.
func readJSON(data []byte) (*node, *Problem) {
	if len(data) > maxFileSize {
		return nil, &Problem{Message: fmt.Sprintf("is %d bytes long; at most %d are read", len(data), maxFileSize)}
	}
	if !utf8.Valid(data) {
		return nil, &Problem{Message: "is not UTF-8"}
	}
	r := jsonReader{dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows its end")
		}
	}
	if err != nil {
		return nil, &Problem{Message: "is not JSON: " + jsonReason(err, r.dec.InputOffset())}
	}
	return n, nil
}

// jsonReason is why a text is no JSON, with the byte where that shows.
func jsonReason(err error, offset int64) string {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s, at byte %d", syntax.Error(), syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	default:
		return fmt.Sprintf("%v, at byte %d", err, offset)
	}
}

// jsonReader builds nodes from the tokens of a text.
type jsonReader struct{ dec *json.Decoder }

func (r *jsonReader) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it has objects and lists more than %d deep", maxDepth)
	}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '{' {
			err = r.object(n, depth)
		} else {
			err = r.list(n, depth)
		}
	case string:
		n.kind, n.text, n.quoted = scalar, tok, true
		if len(tok) > maxTextLength {
			n.kind, n.text = broken, fmt.Sprintf("has %d bytes; at most %d are read", len(tok), maxTextLength)
		}
	case json.Number:
		n.kind, n.text = scalar, tok.String()
	case bool:
		n.kind, n.text = scalar, strconv.FormatBool(tok)
	default:
		n.kind = null
	}
	n.measure()
	return n, err
}

func (r *jsonReader) object(n *node, depth int) error {
	n.kind = object
	for r.dec.More() {
		name, err := r.dec.Token()
		if err != nil {
			return err
		}
		text, _ := name.(string) // the decoder takes nothing else here
		if len(text) > maxNameLength {
			return fmt.Errorf("it has a member's name of %d bytes; at most %d are read", len(text), maxNameLength)
		}
		if len(n.members) == maxSiblings {
			return fmt.Errorf("it has an object of more than %d members", maxSiblings)
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, pair{name: text, value: value})
	}
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) list(n *node, depth int) error {
	n.kind = list
	for r.dec.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, value)
	}
	_, err := r.dec.Token()
	return err
}

// writeJSON writes a node as JSON in one line, the members in their order.
func writeJSON(n *node) []byte {
	var b strings.Builder
	appendJSON(&b, n)
	return []byte(b.String())
}

func appendJSON(b *strings.Builder, n *node) {
	switch {
	case n.kind == object:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			appendText(b, m.name)
			b.WriteByte(':')
			appendJSON(b, m.value)
		}
		b.WriteByte('}')
	case n.kind == list:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			appendJSON(b, item)
		}
		b.WriteByte(']')
	case n.kind == null:
		b.WriteString("null")
	case n.quoted || strings.HasPrefix(n.text, "0x"):
		appendText(b, n.text)
	default:
		b.WriteString(n.text)
	}
}

func appendText(b *strings.Builder, s string) {
	text, err := json.Marshal(s)
	if err != nil { // of a string: cannot happen
		text = []byte(`""`)
	}
	b.Write(text)
}

// merge is RFC 7396: what a patch makes of a document. Members that are short
// for others go when those come.
func merge(doc, patch *node) *node {
	if patch.kind != object {
		return patch
	}
	out := &node{kind: object}
	if doc != nil && doc.kind == object {
		out.members = append(out.members, doc.members...)
	}
	for _, p := range patch.members {
		if p.value.kind != null {
			for _, other := range inPlaceOf[p.name] {
				if !patch.has(other) {
					out.remove(other)
				}
			}
		}
		out.set(p.name, p.value)
	}
	out.measure()
	return out
}

// inPlaceOf are the members that cannot stand beside one.
var inPlaceOf = map[string][]string{
	"variants": {"offset", "length", "mask"}, "offset": {"variants"}, "length": {"variants"}, "mask": {"variants"},
	"address": {"addresses"}, "addresses": {"address"},
}

// set merges a value into a member; null removes it.
func (n *node) set(name string, value *node) {
	if value.kind == null {
		n.remove(name)
		return
	}
	for i := range n.members {
		if n.members[i].name == name {
			n.members[i].value = merge(n.members[i].value, value)
			return
		}
	}
	n.members = append(n.members, pair{name: name, value: merge(nil, value)})
}

func (n *node) remove(name string) {
	kept := n.members[:0:0]
	for _, m := range n.members {
		if m.name != name {
			kept = append(kept, m)
		}
	}
	n.members = kept
}
