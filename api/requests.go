package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requests counts what the API is asked. Labels are operations of the
// description and statuses: a client cannot make new ones.
type requests struct {
	total   *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newRequests() *requests {
	return &requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roamlb_api_requests_total", Help: "Requests to the API, by operation and status.",
		}, []string{"operation", "code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roamlb_api_request_duration_seconds", Help: "How long requests to the API took, streams of events aside.",
			Buckets: []float64{.005, .025, .1, .5, 1, 5, 15, 60},
		}),
	}
}

// counted counts the requests that next answers.
func (q *requests) counted(op *operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { // also when the handler panics
			name := "unknown"
			if op != nil {
				name = op.id()
			}
			q.total.WithLabelValues(name, strconv.Itoa(s.status)).Inc()
			if !isStream(w.Header()) {
				q.seconds.Observe(time.Since(begin).Seconds())
			}
		}()
		next.ServeHTTP(s, r)
	})
}

func isStream(h http.Header) bool { return h.Get("Content-Type") == "text/event-stream" }

// statusWriter remembers an answer's status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader is of http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is what http.NewResponseController asks for.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
