package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fieldsync/fieldsync/engine/plan"
)

const (
	reading = 5 * time.Second // how long the state may take to answer before a scrape does without it
	fresh   = 3 * time.Second // how long an answer is good for: scrapes may be many, and holds as well
)

// A Source gives the vitals as they are now, and how large the state is; bytes < 0: it cannot be told.
type Source func(context.Context) (vitals []Vital, bytes int64, err error)

// Metrics are what Prometheus reads. Names follow https://prometheus.io/docs/practices/naming/.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	runs     *prometheus.CounterVec
	took     *prometheus.HistogramVec
	actions  *prometheus.CounterVec
	requests *prometheus.CounterVec
	answers  *prometheus.HistogramVec
	waits    *prometheus.CounterVec
	hooks    *prometheus.CounterVec
	good     prometheus.Gauge
}

// NewMetrics makes the metrics of one service.
func NewMetrics(version string, source Source, log *slog.Logger) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: log}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fieldsync_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fieldsync_" + name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.runs = counter("runs_total", "Runs that ended, by what became of them: good, incomplete, stopped or failed.", "sync", "trigger", "outcome")
	m.took = histogram("run_seconds", "How long runs took.", prometheus.ExponentialBuckets(0.1, 3, 10), "sync")
	m.actions = counter("actions_total", "Actions of plans that were carried out, by what became of them.", "sync", "side", "kind", "outcome")
	m.requests = counter("requests_total", "Requests to a connection's system as they were sent, also those that were tried again; code 0: no answer.", "connection", "method", "code")
	m.answers = histogram("request_seconds", "How long a connection's system took to answer.", prometheus.ExponentialBuckets(0.01, 2.5, 10), "connection")
	m.waits = counter("limiter_wait_seconds_total", "How long requests waited for the limits of their connection.", "connection")
	m.hooks = counter("hooks_total", "Webhooks that came in, by what became of them.", "connection", "outcome")
	m.good = prometheus.NewGauge(prometheus.GaugeOpts{Name: "fieldsync_mapping_good", Help: "1: the rules in force are those of the files; 0: the files are broken and the last good rules run."})
	m.good.Set(1)
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "fieldsync_build_info", Help: "Which fieldsync this is.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.good, info, &state{source: source, log: log, now: time.Now},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4})
}

// Ran counts a run that ended, from its account.
func (m *Metrics) Ran(r plan.Run) {
	outcome := "good"
	switch {
	case r.Stopped:
		outcome = "stopped"
	case r.Err != "":
		outcome = "failed"
	case !r.Complete && !r.Few || r.Failed > 0:
		outcome = "incomplete"
	}
	m.runs.WithLabelValues(r.Sync, r.Trigger, outcome).Inc()
	m.took.WithLabelValues(r.Sync).Observe(r.Ended.Sub(r.Started).Seconds())
}

// Acted counts an action of a sync that ended.
func (m *Metrics) Acted(sync string, r plan.Result) {
	m.actions.WithLabelValues(sync, r.Action.SideName, string(r.Action.Kind), string(r.Outcome)).Inc()
}

// Sent counts a request of a connection; status 0: there was no answer.
func (m *Metrics) Sent(connection, method string, status int, waited, took time.Duration) {
	m.requests.WithLabelValues(connection, method, strconv.Itoa(status)).Inc()
	m.waits.WithLabelValues(connection).Add(waited.Seconds())
	if status != 0 {
		m.answers.WithLabelValues(connection).Observe(took.Seconds())
	}
}

// Hooked counts a webhook by what became of it. The connection must be one of the mapping's.
func (m *Metrics) Hooked(connection, outcome string) {
	m.hooks.WithLabelValues(connection, outcome).Inc()
}

// Mapping says whether the files as they are now are the rules in force.
func (m *Metrics) Mapping(good bool) {
	m.good.Set(0)
	if good {
		m.good.Set(1)
	}
}

// state collects what the store knows.
type state struct {
	source Source
	log    *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	at     time.Time
	vitals []Vital
	bytes  int64
}

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fieldsync_"+name, help, labels, nil)
}

var (
	linksDesc   = gauge("links", "Links of a sync: live (held ones too) and detached.", "sync", "status")
	waitsDesc   = gauge("waiting", "What waits: holds for something to be mended, conflicts for a person, by how long they have waited.", "sync", "kind", "age")
	oldestDesc  = gauge("oldest_waiting_seconds", "How long the oldest hold and the oldest conflict have waited; 0: none waits.", "sync", "kind")
	flightDesc  = gauge("writes_in_flight", "Writes whose outcome is not settled yet.", "sync")
	stoppedDesc = gauge("plan_stopped", "1: limits keep the plan of this sync from being carried out until a person approves it.", "sync")
	pausedDesc  = gauge("paused", "1: a person has paused this sync.", "sync")
	refusedDesc = gauge("credentials_refused", "1: the last run ended because a system refused its credentials.", "sync")
	goodDesc    = gauge("last_good_run_timestamp_seconds", "When the last good run of a sync ended; 0: there was none.", "sync")
	nextDesc    = gauge("next_run_timestamp_seconds", "When the schedule runs a sync next; 0: it has none.", "sync")
	lagDesc     = gauge("lag_seconds", "How long ago the changes of a side were last all carried over; absent before the first time.", "sync", "side")
	bytesDesc   = gauge("state_bytes", "How large the state is.")
	upDesc      = gauge("state_up", "1: the state could be read for this scrape.")
)

// Describe sends nothing: which series there are depends on the mapping.
func (*state) Describe(chan<- *prometheus.Desc) {}

func (s *state) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	vitals, bytes, err := s.look()
	if err != nil {
		s.log.Error("the state cannot be read for the metrics", "err", err)
		send(upDesc, 0)
		return
	}
	send(upDesc, 1)
	if bytes >= 0 {
		send(bytesDesc, float64(bytes))
	}
	now := s.now()
	for _, v := range vitals {
		send(linksDesc, float64(v.Links), v.Sync, "live")
		send(linksDesc, float64(v.Detached), v.Sync, "detached")
		for _, k := range []struct {
			kind  string
			waits Waits
		}{{"hold", v.Holds}, {"conflict", v.Asks}} {
			for i, n := range k.waits.Count {
				send(waitsDesc, float64(n), v.Sync, k.kind, age(i))
			}
			oldest := 0.0
			if !k.waits.Oldest.IsZero() {
				oldest = now.Sub(k.waits.Oldest).Seconds()
			}
			send(oldestDesc, oldest, v.Sync, k.kind)
		}
		send(flightDesc, float64(v.Intents), v.Sync)
		send(stoppedDesc, flag(v.LastRun != nil && v.LastRun.Stopped), v.Sync)
		send(pausedDesc, flag(v.Paused), v.Sync)
		send(refusedDesc, flag(v.Refused), v.Sync)
		send(goodDesc, stamp(v.LastGood), v.Sync)
		send(nextDesc, stamp(v.Next), v.Sync)
		for i, at := range v.Carried {
			if !at.IsZero() {
				send(lagDesc, max(0, now.Sub(at).Seconds()), v.Sync, v.Sides[i])
			}
		}
	}
}

func (s *state) look() ([]Vital, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.at.IsZero() || now.Sub(s.at) >= fresh {
		ctx, cancel := context.WithTimeout(context.Background(), reading)
		defer cancel()
		vitals, bytes, err := s.source(ctx)
		if err != nil {
			return nil, 0, err
		}
		s.at, s.vitals, s.bytes = now, vitals, bytes
	}
	return s.vitals, s.bytes, nil
}

// age names the counts of Waits.
func age(i int) string {
	if i < len(Ages) {
		return "<" + short(Ages[i])
	}
	return ">=" + short(Ages[i-1])
}

func short(d time.Duration) string {
	if d >= 24*time.Hour {
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
	return strconv.Itoa(int(d.Hours())) + "h"
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
