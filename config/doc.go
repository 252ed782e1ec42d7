// Package config reads the daemon's configuration file: YAML text to a File
// with every default filled in and every member checked, and back.
//
// All problems of a text are found at once. Each names its member, as a JSON
// pointer and as a path for people, and the line and column where it stands.
// The package reads no file and knows nothing of the host: whether an interface,
// a group or a namespace exists is found out by those who use it.
//
// A text passes through four steps: YAML to a tree of nodes with positions
// (yaml.go), the tree to a File by tables of members (members.go and the files
// named after the objects), the checks of values and of values against each
// other (validate*.go), and back to a tree and to YAML (marshal.go). The tree
// knows nothing of YAML, so that other notations can share the rest.
package config
