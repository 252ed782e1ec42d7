package api

import (
	"context"
	"net/http"
)

// What handlers need of a request beyond its parameters goes along in its
// context.

type (
	operationKey struct{}
	conditionKey struct{}
	requestKey   struct{}
)

func withOperation(r *http.Request, op *operation) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), operationKey{}, op))
}

func operationOf(r *http.Request) *operation {
	op, _ := r.Context().Value(operationKey{}).(*operation)
	return op
}

func withCondition(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), conditionKey{}, conditionOf(r))
	return r.WithContext(context.WithValue(ctx, requestKey{}, r))
}

func conditionIn(ctx context.Context) condition {
	c, _ := ctx.Value(conditionKey{}).(condition)
	return c
}

// requestIn is the request itself, for the few operations whose answer is no
// document.
func requestIn(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}
