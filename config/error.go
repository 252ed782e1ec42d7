package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Pointer is the JSON pointer (RFC 6901) of the member, as the text writes
	// it: a key in its short form has /services/0/key/offset. Empty for the
	// whole text.
	Pointer string
	// Line and Column count from 1. They are 0 for a configuration that was not
	// read from text.
	Line, Column int
	// Message says what is wrong; it does not repeat the member.
	Message string
}

// Error is all that is wrong with a configuration, in the text's order.
type Error struct {
	Name     string // of the file; may be empty
	Problems []Problem
	More     int // further problems that were not kept
}

// Error returns a line for each problem:
//
//	roamlb.yaml:12:9: services[0].key.length: must be 1 to 256, not 300
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.line(e.Name))
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// line returns the problem as people read it, with the file's name.
func (p Problem) line(name string) string {
	var where, member string
	if name != "" {
		where = name + ":"
	}
	if p.Line > 0 {
		where += fmt.Sprintf("%d:%d:", p.Line, p.Column)
	}
	if where != "" {
		where += " "
	}
	if p.Pointer != "" {
		member = memberPath(p.Pointer) + ": "
	}
	return where + member + p.Message
}

// memberPath turns a JSON pointer into what people write: services[0].key.offset.
func memberPath(pointer string) string {
	var b strings.Builder
	for i, part := range split(pointer) {
		if _, err := strconv.Atoi(part); err == nil {
			b.WriteString("[" + part + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		if strings.ContainsFunc(part, func(r rune) bool { return !isWordRune(r) }) || part == "" {
			part = strconv.Quote(part)
		}
		b.WriteString(part)
	}
	return b.String()
}

func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// join adds a member's name to a JSON pointer.
func join(pointer, name string) string {
	if strings.ContainsAny(name, "~/") {
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return pointer + "/" + name
}

// index adds a list index to a JSON pointer.
func index(pointer string, i int) string {
	return pointer + "/" + strconv.Itoa(i)
}

// split returns the unescaped parts of a JSON pointer.
func split(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(pointer[1:], "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts
}

// report collects problems.
type report struct {
	problems []Problem
	more     int
}

// add notes a problem of the member at a JSON pointer.
func (r *report) add(at, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	r.put(Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
}

func (r *report) put(p Problem) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, p)
}

// err returns what was collected as an error, nil if nothing was.
func (r *report) err(name string) error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Error{Name: name, Problems: r.problems, More: r.more}
}
