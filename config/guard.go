package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// textBudget bounds the steps that the YAML lexer may take beyond one pass over
// the text.
const textBudget = 1 << 28

// checkText refuses what is no text, and texts that would cost the lexer more
// than about their length: it looks from each tab in double quotes to the end of
// the line, from each "<" to the end of their run, and at the whole of a block
// text for each blank line after it.
func checkText(data []byte) (string, *Problem) {
	if len(data) > maxFileSize {
		return "", &Problem{Message: fmt.Sprintf("is %d bytes long; at most %d are read", len(data), maxFileSize)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	line, start, steps := 1, 0, 0 // of the current line: its number and first byte
	tabs, angles, blanks := 0, 0, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		angles = run(angles, r == '<')
		steps += angles
		switch {
		case r == '\n':
			steps += tabs * (i - start)
			blanks = run(blanks, len(bytes.TrimSpace(data[start:i])) == 0)
			if blanks*len(data) > textBudget {
				return "", &Problem{Line: line, Column: 1, Message: "has too many blank lines in a row"}
			}
			tabs, line, start = 0, line+1, i+1
		case r == '\t':
			tabs++
		case r == '\r' && i+1 < len(data) && data[i+1] == '\n':
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			return "", &Problem{
				Line: line, Column: utf8.RuneCount(data[start:i]) + 1,
				Message: fmt.Sprintf("has a byte 0x%02x, which no text contains", data[i]),
			}
		}
		i += size
	}
	steps += tabs * (len(data) - start)
	if steps > textBudget {
		return "", &Problem{Message: `has too many tabs in its lines, or too many "<"`}
	}
	return trimmed(data), nil
}

// trimmed returns a text with its lines ended by a line feed alone. White space
// before that means nothing in YAML, but the lexer's places do not stand it.
func trimmed(data []byte) string {
	lines := strings.Split(string(data), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\r")
	}
	return strings.Join(lines, "\n")
}

// run counts how often in a row something was so.
func run(n int, again bool) int {
	if again {
		return n + 1
	}
	return 0
}

// guard looks at a document's tokens before they are parsed. The parser's
// recursion follows the nesting, and the number of members of a block object;
// its time grows with the square of the latter and of the empty values.
type guard struct {
	tokens  token.Tokens // without comments
	flow    []token.Type // open brackets
	pairs   int          // members since the last bracket or comma
	block   []column     // open block objects and lists
	empty   int
	anchors int
	ended   bool // the document has ended
}

// column is a block object, a block list, or an object whose member is a list in
// the same column: where they begin, and how many members there are.
type column struct{ at, members int }

// checkTokens returns the first reason not to parse the tokens; nil: parse them.
func checkTokens(tokens token.Tokens) *Problem {
	g := guard{tokens: make(token.Tokens, 0, len(tokens))}
	for _, tk := range tokens {
		if tk.Type != token.CommentType {
			g.tokens = append(g.tokens, tk)
		}
	}
	for i, tk := range g.tokens {
		if message := g.check(i, tk); message != "" {
			return &Problem{Line: tk.Position.Line, Column: tk.Position.Column, Message: message}
		}
	}
	return nil
}

// check returns what is wrong with a token, "" if nothing.
func (g *guard) check(i int, tk *token.Token) string {
	if g.ended {
		return "is more than one YAML document; a configuration is one"
	}
	if len(tk.Value) > maxTextLength {
		return fmt.Sprintf("has a text of %d bytes; at most %d are read", len(tk.Value), maxTextLength)
	}
	switch tk.Type {
	case token.InvalidType:
		return notYAML(tk.Error)
	case token.DocumentHeaderType:
		if i > 0 {
			return "is more than one YAML document; a configuration is one"
		}
	case token.DocumentEndType:
		g.ended = true
	case token.TagType, token.DirectiveType, token.MappingKeyType:
		return fmt.Sprintf("has YAML tags, directives or complex keys (%s), which are not used here", show(tk.Value))
	case token.LiteralType, token.FoldedType:
		return "has a block text, which is not used here: write the value in quotes"
	case token.AnchorType:
		if g.anchors++; g.anchors > maxAnchors {
			return fmt.Sprintf("has more than %d YAML anchors", maxAnchors)
		}
	case token.MappingStartType, token.SequenceStartType:
		g.flow, g.pairs = append(g.flow, tk.Type), 0
	case token.MappingEndType, token.SequenceEndType:
		g.flow, g.pairs = g.flow[:max(len(g.flow)-1, 0)], 0
	case token.CollectEntryType:
		g.pairs = 0
	case token.MappingValueType:
		return g.member(i)
	case token.SequenceEntryType:
		g.open(tk.Position.Column)
	}
	return g.bounds(i)
}

// member looks at a colon: at the name before it and the object it belongs to.
func (g *guard) member(i int) string {
	if i > 0 {
		name := g.tokens[i-1]
		if len(name.Value) > maxNameLength {
			return fmt.Sprintf("has a member's name of %d bytes; at most %d are read", len(name.Value), maxNameLength)
		}
		members := &g.pairs
		if len(g.flow) == 0 {
			members = &g.open(name.Position.Column).members
		}
		if *members++; *members > maxSiblings {
			return fmt.Sprintf("has an object of more than %d members", maxSiblings)
		}
	}
	return g.bounds(i)
}

// open notes that a block object has a member, or a block list an entry, in a
// column.
func (g *guard) open(at int) *column {
	for len(g.block) > 0 && g.block[len(g.block)-1].at > at {
		g.block = g.block[:len(g.block)-1]
	}
	if len(g.block) == 0 || g.block[len(g.block)-1].at < at {
		g.block = append(g.block, column{at: at})
	}
	return &g.block[len(g.block)-1]
}

// bounds checks the depth and the number of empty values after a token.
func (g *guard) bounds(i int) string {
	if len(g.flow)+len(g.block) > maxDepth {
		return fmt.Sprintf("has objects and lists more than %d deep", maxDepth)
	}
	if g.isEmpty(i) {
		g.empty++
	}
	if g.empty > maxEmpty {
		return fmt.Sprintf("has more than %d members without a value", maxEmpty)
	}
	return ""
}

// isBareName tells whether a token in { } is a name without a colon behind it,
// if it is the last of its entry.
func (g *guard) isBareName(i int) bool {
	if i == 0 || g.flow[len(g.flow)-1] != token.MappingStartType {
		return false
	}
	switch g.tokens[i].Type {
	case token.MappingStartType, token.MappingEndType, token.SequenceStartType, token.SequenceEndType,
		token.CollectEntryType:
		return false
	}
	before := g.tokens[i-1].Type
	return before == token.CollectEntryType || before == token.MappingStartType
}

// isEmpty tells whether the value is missing that has to follow a token.
func (g *guard) isEmpty(i int) bool {
	tk := g.tokens[i]
	var next *token.Token
	if i+1 < len(g.tokens) {
		next = g.tokens[i+1]
	}
	if len(g.flow) > 0 {
		ends := next != nil && (next.Type == token.CollectEntryType || next.Type == token.MappingEndType ||
			next.Type == token.SequenceEndType)
		return ends && (tk.Type == token.MappingValueType || g.isBareName(i))
	}
	switch tk.Type {
	case token.SequenceEntryType:
		return next == nil || next.Position.Line > tk.Position.Line && next.Position.Column <= tk.Position.Column
	case token.MappingValueType:
		if i == 0 || next == nil {
			return true
		}
		name := g.tokens[i-1].Position
		return next.Position.Line > name.Line && (next.Position.Column < name.Column ||
			next.Position.Column == name.Column && next.Type != token.SequenceEntryType)
	}
	return false
}
