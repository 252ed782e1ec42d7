// Package api answers roamlb's REST API: it checks who asks and from where,
// turns requests into changes of the daemon's configuration or looks at what
// it does, and answers as the OpenAPI description says (package openapi).
//
// A request passes, in this order: recovery from panics, the limits on rate and
// size, the checks of Host and Origin, authentication, the generated router,
// the scope that its operation needs, and its handler. Whatever fails on the
// way is answered with a problem document (RFC 9457).
//
// Nothing here holds a lock that the packet path takes for longer than one
// session's access.
package api
