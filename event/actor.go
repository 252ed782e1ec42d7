package event

// Actor is who did something; the zero Actor is nobody in particular.
type Actor struct {
	Name string // a token's, or "socket", "file", "daemon"
	From string // remote address; empty for none
}
