package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/roamlb/roamlb/balancer"
)

// Version is the version of the state file's format that this package writes,
// and the newest that it reads.
const Version = 1

const format = "roamlb-state"

// envelope is the file: one JSON object, written exactly as [seal] does, so
// that every byte of it is accounted for, either by the sum or by being the
// only one possible.
type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	Sum     string          `json:"sum"` // SHA-256 of State's bytes, in hex
	State   json.RawMessage `json:"state"`
}

// seal makes a file's content of the state's JSON.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	head := fmt.Sprintf(`{"format":%q,"version":%d,"sum":"%s","state":`, format, Version, hex.EncodeToString(sum[:]))
	out := make([]byte, 0, len(head)+len(body)+2)
	out = append(out, head...)
	out = append(out, body...)
	return append(out, '}', '\n')
}

// encode is the content of the file that holds s.
func encode(s State) ([]byte, error) {
	var e encoder
	return e.encode(s)
}

// encoder encodes one state after the other, and a service anew only where it
// has changed. The zero encoder is ready; it is not safe for concurrent use.
type encoder struct{ services map[string]encoded }

type encoded struct {
	of   balancer.Service
	json []byte
}

func (e *encoder) encode(s State) ([]byte, error) {
	const none, empty = `"Services":null`, `"Services":`
	list, size := make([][]byte, len(s.Services)), 0
	next := make(map[string]encoded, len(s.Services))
	for i := range s.Services {
		svc := &s.Services[i]
		known, ok := e.services[svc.Name]
		if !ok || !known.of.Equal(svc) {
			text, err := json.Marshal(svc)
			if err != nil {
				return nil, err
			}
			known = encoded{of: *svc, json: text}
		}
		next[svc.Name] = known
		list[i] = known.json
		size += len(known.json) + 1
	}
	e.services = next
	filled := s.Services != nil
	s.Services = nil
	rest, err := json.Marshal(s)
	if err != nil || !filled {
		return seal(rest), err
	}
	// What stands before it in State holds no such text: a number, and base64.
	before, behind, _ := bytes.Cut(rest, []byte(none))
	body := make([]byte, 0, len(rest)+size)
	body = append(append(body, before...), empty+"["...)
	for i, text := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, text...)
	}
	body = append(body, ']')
	return seal(append(body, behind...)), nil
}

// decode is the state that a file's content holds. An error is a *NewerError
// or a *DamagedError, both without the path.
func decode(data []byte) (State, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return State{}, damagedJSON(err, len(data))
	}
	switch {
	case e.Format != format:
		return State{}, &DamagedError{Offset: -1, Reason: fmt.Sprintf("it does not begin as a state file does: its format is %q, not %q", e.Format, format)}
	case e.Version > Version:
		return State{}, &NewerError{Version: e.Version}
	}
	if want := seal(e.State); !bytes.Equal(want, data) {
		return State{}, damagedBytes(want, data)
	}
	dec := json.NewDecoder(bytes.NewReader(e.State))
	dec.DisallowUnknownFields()
	var s State
	if err := dec.Decode(&s); err != nil {
		if member, ok := unknownMember(err); ok {
			return State{}, &NewerError{Version: e.Version, Member: member}
		}
		return State{}, &DamagedError{Offset: -1, Reason: fmt.Sprintf("its bytes are as they were written, but they are no state: %v", err)}
	}
	if err := s.validate(); err != nil {
		return State{}, &DamagedError{Offset: -1, Reason: fmt.Sprintf("its bytes are as they were written, but contradict each other: %v", err)}
	}
	return s, nil
}

// unknownMember is the member that a decoder does not know. The sum has shown
// that a roamlb wrote it: a newer one.
func unknownMember(err error) (string, bool) {
	// encoding/json has no type for it.
	quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	if !ok {
		return "", false
	}
	return strings.Trim(quoted, `"`), true
}

func damagedJSON(err error, size int) *DamagedError {
	var syntax *json.SyntaxError
	switch {
	case size == 0:
		return &DamagedError{Offset: 0, Reason: "it is empty"}
	case errors.As(err, &syntax) && syntax.Offset >= int64(size), errors.Is(err, io.ErrUnexpectedEOF):
		return &DamagedError{Offset: int64(size), Reason: "it ends before the state does"}
	case errors.As(err, &syntax):
		return &DamagedError{Offset: syntax.Offset - 1, Reason: syntax.Error()}
	default:
		return &DamagedError{Offset: -1, Reason: err.Error()}
	}
}

// damagedBytes says where data departs from the file that its own state would
// make. Inside the head that is the damage itself, or the sum, whose mismatch
// only says that the state or the sum is wrong.
func damagedBytes(want, data []byte) *DamagedError {
	at := 0
	for at < min(len(want), len(data)) && want[at] == data[at] {
		at++
	}
	sum := bytes.Index(want, []byte(`"sum":"`)) + len(`"sum":"`)
	if at >= sum && at < sum+hex.EncodedLen(sha256.Size) {
		return &DamagedError{Offset: -1, Reason: "its checksum is not that of its content"}
	}
	return &DamagedError{Offset: int64(at), Reason: "this is not as it was written"}
}

// DamagedError says that a state file is not as it was written.
type DamagedError struct {
	Path   string
	Offset int64 // of the first byte known to be wrong; -1 where that is not known
	Reason string
}

func (e *DamagedError) Error() string {
	where := ""
	if e.Offset >= 0 {
		where = fmt.Sprintf(" at byte %d", e.Offset)
	}
	return fmt.Sprintf("state file %s is damaged%s: %s; it is left untouched: put back a copy, or move it away to start "+
		"without a state (backends then get new ids and services without a seed of their own a new one, which moves their sessions)",
		e.Path, where, e.Reason)
}

// NewerError says that a state file was written by a newer roamlb.
type NewerError struct {
	Path    string
	Version int    // of the file's format
	Member  string // that is not known, where the format's version is; empty elsewhere
}

func (e *NewerError) Error() string {
	if e.Member != "" {
		return fmt.Sprintf("state file %s was written by a newer roamlb: it has a member %q, which this one does not know; it is left untouched: "+
			"start the roamlb that wrote it, or put back a copy from before the upgrade", e.Path, e.Member)
	}
	return fmt.Sprintf("state file %s has format version %d, this roamlb reads up to %d; it is left untouched: "+
		"start the roamlb that wrote it, or put back a copy from before the upgrade", e.Path, e.Version, Version)
}
