package nft



// Text is a placeholder.
func (r *Ruleset) Text() (string, error) { return "", nil }
