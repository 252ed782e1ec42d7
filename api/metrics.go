package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/openapi"
)

// metrics reads all figures when it is scraped. Labels are services, backends
// and queues: what the operator has configured bounds them.
type metrics struct{ h *handlers }

// desc is a metric's description.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("roamlb_"+name, help, labels, nil)
}

var (
	buildInfo     = desc("build_info", "The version that runs; always 1.", "version")
	ready         = desc("ready", "1 while packets are balanced as configured.")
	eventsTotal   = desc("events_total", "Events, by kind.", "kind")
	reloadsTotal  = desc("reloads_total", "Wishes to read the configuration file again, by what came of them.", "result")
	sessions      = desc("sessions", "Live sessions.", "service")
	unanswered    = desc("sessions_unanswered", "Live sessions that no backend has answered.", "service")
	sharedBy      = desc("sessions_shared", "Live sessions that two clients speak by turns.", "service")
	maxSessions   = desc("sessions_max", "The most sessions that are kept (max_sessions).", "service")
	evictedTotal  = desc("sessions_evicted_total", "Sessions that had to go to stay within max_sessions.", "service")
	joinsTotal    = desc("session_joins_total", "Sessions that moved onto a flow that existed, of which nothing can be told.", "service")
	waitingRoams  = desc("roams_waiting", "Roams that no backend has answered yet.", "service")
	roamsTotal    = desc("roams_total", "Sessions seen from a new client.", "service")
	takeoverTotal = desc("takeovers_total", "Clients of one session that now carry another.", "service")
	deletedTotal  = desc("stale_entries_deleted_total", "Conntrack entries that sessions have left behind, deleted.", "service")
	refusedTotal  = desc("refused_packets_total", "Packets of sources that the service does not serve, by the kernel's count since its rules were made.", "service")
	backendUp     = desc("backend_state", "What the backend is to the decision: 1 for the state that it has.", "service", "backend", "state")
	backendWeight = desc("backend_weight", "The backend's weight.", "service", "backend")
	backendFlows  = desc("backend_flows_total", "Flows whose first packet was sent to the backend, by the kernel's count.", "service", "backend")
	ringShare     = desc("backend_ring_share_ratio", "The backend's share of the ring's slots.", "service", "backend", "family")
	speakFirst    = desc("dropped_answers_total", "Packets of backends of several services that spoke first, dropped by the kernel.")
	queuePackets  = desc("queue_packets_total", "Packets read from the queue.", "queue")
	queueVerdicts = desc("queue_verdicts_total", "Verdicts sent.", "queue")
	queueKeyless  = desc("queue_keyless_packets_total", "Packets without a key, as far as they were copied.", "queue")
	queueNobody   = desc("queue_unserved_packets_total", "Packets that no backend could serve.", "queue")
	queueDropped  = desc("queue_dropped_packets_total", "Packets without a key that their service drops.", "queue")
	queueMissed   = desc("queue_missed_packets_total", "Packets that went on without the daemon because the socket's buffer was full.", "queue")
	queueCrowded  = desc("queue_crowded_total", "Times that the queue was found full.", "queue")
	keeperAnswers = desc("queue_keeper_answers_total", "Times that the keeper answered for a daemon that hung.", "queue")
	copiesTotal   = desc("copies_total", "Copies read of packets that the kernel has decided by itself.")
	flowsKnown    = desc("flows", "Flows that are known.")
	pendingJobs   = desc("deletions_pending", "Deletions that are still to come.")
	lostTotal     = desc("sync_lost_total", "What was lost on its way to the session tables, and made good by a dump.", "what")
	dumpsTotal    = desc("conntrack_dumps_total", "Dumps of conntrack, by what came of them.", "result")
	dumpSeconds   = desc("conntrack_last_dump_seconds", "How long the last dump took.")
	entries       = desc("conntrack_entries", "Entries of the namespace's conntrack table, whosever they are.")
	entriesMax    = desc("conntrack_entries_max", "The most that it may have (nf_conntrack_max).")
	ctDropped     = desc("conntrack_dropped_packets_total", "Packets that conntrack has dropped in the namespace, most of them for want of room for a new flow.")
	scrapeError   = desc("kernel_counters_up", "1 where the kernel's counters could be read.")
)

// Describe is of prometheus.Collector.
func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		buildInfo, ready, eventsTotal, reloadsTotal, sessions, unanswered, sharedBy, maxSessions, evictedTotal, joinsTotal, waitingRoams,
		roamsTotal, takeoverTotal, deletedTotal, refusedTotal, backendUp, backendWeight, backendFlows, ringShare, speakFirst,
		queuePackets, queueVerdicts, queueKeyless, queueNobody, queueDropped, queueMissed, queueCrowded, keeperAnswers,
		copiesTotal, flowsKnown, pendingJobs, lostTotal, dumpsTotal, dumpSeconds, entries, entriesMax, ctDropped, scrapeError,
	} {
		out <- d
	}
}

type (
	gaugeFunc func(d *prometheus.Desc, v float64, labels ...string)
	countFunc func(d *prometheus.Desc, v uint64, labels ...string)
)

// Collect is of prometheus.Collector.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	m.daemon(gauge, count)
	sync := m.h.SyncStats()
	for _, v := range m.h.views() {
		m.service(gauge, count, v, sync.Services[v.Service.Name])
	}
	m.backends(gauge, count)
	m.queues(count)
	copies := m.h.CopiesStats()
	count(copiesTotal, copies.Copies)
	count(lostTotal, copies.Losses, "copies")
	gauge(flowsKnown, float64(sync.Flows))
	gauge(pendingJobs, float64(sync.Pending))
	count(lostTotal, sync.LostFacts, "facts")
	count(lostTotal, sync.LostEvents, "events")
	count(lostTotal, sync.KernelDrops, "kernel")
	count(dumpsTotal, sync.Dumps, "ok")
	count(dumpsTotal, sync.FailedDumps, "failed")
	gauge(dumpSeconds, sync.LastDump.Seconds())
}

func (m metrics) daemon(gauge gaugeFunc, count countFunc) {
	state := m.h.Health()
	gauge(buildInfo, 1, m.h.version)
	gauge(ready, truth(state.Ready && !state.Degraded))
	counts := m.h.Events().Counts()
	for _, k := range event.Kinds {
		count(eventsTotal, counts[k], string(k))
	}
	done, failed := m.h.Reloads()
	count(reloadsTotal, done, "ok")
	count(reloadsTotal, failed, "failed")
	if n, most, ok := m.h.ConntrackSize(); ok {
		gauge(entries, float64(n))
		gauge(entriesMax, float64(most))
	}
	if n, ok := m.h.ConntrackDropped(); ok {
		count(ctDropped, n)
	}
}

func (m metrics) service(gauge gaugeFunc, count countFunc, v *balancer.View, s ctsync.ServiceStats) {
	name := v.Service.Name
	gauge(sessions, float64(s.Sessions), name)
	gauge(unanswered, float64(s.Unanswered), name)
	gauge(sharedBy, float64(s.Shared), name)
	gauge(maxSessions, float64(v.Service.MaxSessions), name)
	count(evictedTotal, s.Evicted, name)
	count(joinsTotal, s.Joins, name)
	gauge(waitingRoams, float64(s.Waiting), name)
	count(roamsTotal, s.Roams, name)
	count(takeoverTotal, s.Takeovers, name)
	count(deletedTotal, s.Deleted, name)
}

func (m metrics) queues(count countFunc) {
	for _, q := range m.h.QueueStats() {
		n := strconv.Itoa(int(q.Queue))
		count(queuePackets, q.Packets, n)
		count(queueVerdicts, q.Verdicts, n)
		count(queueKeyless, q.NoKey, n)
		count(queueNobody, q.Nobody, n)
		count(queueDropped, q.Dropped, n)
		count(queueMissed, q.Missed, n)
		count(queueCrowded, q.Crowded, n)
		count(keeperAnswers, q.KeeperAnswers, n)
	}
}

// backends reads what the kernel has counted.
func (m metrics) backends(gauge gaugeFunc, count countFunc) {
	counters, err := m.h.Counters()
	gauge(scrapeError, truth(err == nil))
	if err == nil {
		count(speakFirst, counters.DroppedAnswers.Packets)
		for name, c := range counters.Refused {
			count(refusedTotal, c.Packets, name)
		}
	}
	for _, v := range m.h.views() {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			for _, s := range []string{"up", "drain", "down"} {
				gauge(backendUp, truth(stateName(b, v) == s), v.Service.Name, b.Name, s)
			}
			gauge(backendWeight, float64(b.Weight), v.Service.Name, b.Name)
			if err == nil {
				count(backendFlows, counters.Backends[b.ID].Packets, v.Service.Name, b.Name)
			}
		}
		for _, v6 := range v.Families() {
			m.shares(gauge, v, v6)
		}
	}
}

func (m metrics) shares(gauge gaugeFunc, v *balancer.View, v6 bool) {
	for _, s := range ringDoc(v, v6).Shares {
		gauge(ringShare, s.Share, v.Service.Name, s.Backend, string(family(v6)))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// newMetrics is the page that Prometheus reads.
func newMetrics(h *handlers) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(metrics{h}, h.requests.total, h.requests.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// GetMetrics is GET /metrics.
func (h *handlers) GetMetrics(ctx context.Context, _ openapi.GetMetricsRequestObject) (openapi.GetMetricsResponseObject, error) {
	return raw{handler: h.metrics, request: requestIn(ctx)}, nil
}
