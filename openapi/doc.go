// Package openapi holds the description of roamlb's API, and what is generated
// from it: the types, the server's interface and a client. openapi.yaml is
// written by hand; "make generate" makes the rest.
package openapi

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config oapi-codegen.yaml openapi.yaml
