package event

// Actor is who did something.
type Actor struct {
	Name string // a token's, or "socket", "file", "daemon"
	From string // remote address; empty for none
}
