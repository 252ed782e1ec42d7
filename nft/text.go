package nft

import "errors"

// Text is a placeholder.
func (r *Ruleset) Text() (string, error) { return "", errors.New("not yet") }
