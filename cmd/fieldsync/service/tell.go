package service

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/notify"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// tellEvery is how often the service looks whether there is something to tell where no run ends.
const tellEvery = 15 * time.Second

// vitals is how the syncs of the rules in force do.
func (s *service) vitals(ctx context.Context) ([]telemetry.Vital, error) {
	jobs := map[string]schedule.Status{}
	for _, j := range s.loop.Status() {
		jobs[j.Name] = j
	}
	refused := map[string]bool{}
	err := s.state.Slips(ctx, refusedSlip(""), func(slip engine.Slip) error {
		refused[strings.TrimPrefix(slip.Name, refusedSlip(""))] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	var vitals []telemetry.Vital
	for _, m := range s.inForce().Syncs {
		vitals = append(vitals, telemetry.Vital{Sync: m.Name, Sides: [2]string{m.Sides[0].Name, m.Sides[1].Name}, Next: jobs[m.Name].Next, Paused: jobs[m.Name].Paused, Refused: refused[m.Name]})
	}
	return vitals, telemetry.Read(ctx, s.state, s.now(), vitals)
}

// figures is the source of the metrics.
func (s *service) figures(ctx context.Context) ([]telemetry.Vital, int64, error) {
	vitals, err := s.vitals(ctx)
	return vitals, stateBytes(s.inForce().Project), err
}

// stateBytes is how large the state's file is, with what was not folded into it yet; -1 where it is none.
func stateBytes(p *project.Project) int64 {
	if strings.Contains(p.Settings.State, "://") {
		return -1
	}
	var size int64
	for _, name := range []string{p.Settings.State, p.Settings.State + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	return size
}

// ended takes note of a run that is over, for the metrics and for those who are told.
func (s *service) ended(ctx context.Context, m *mapping.Sync, trigger string, began time.Time, acc plan.Run, err error) {
	if errors.Is(err, engine.ErrLeased) || errors.Is(err, context.Canceled) {
		return // another process has it, or it goes on after a restart
	}
	if acc.Ended.IsZero() { // it failed before there was a plan
		acc = plan.Run{Started: began, Ended: s.now(), Err: "failed"}
	}
	acc.Sync, acc.Trigger = m.Name, trigger
	s.Meter.Metrics.Ran(acc)
	s.noteRefused(context.WithoutCancel(ctx), m.Name, errors.Is(err, connectors.ErrAuth))
	select {
	case s.news <- struct{}{}:
	default: // it is going to look anyway
	}
}

// refusedSlip says that a system refused the credentials in the last run of a sync, on whatever node that was.
func refusedSlip(sync string) string { return "refused " + sync }

// What is said of syncs is remembered for so long, unless it is said again.
const saidLife = 30 * 24 * time.Hour

func (s *service) noteRefused(ctx context.Context, sync string, refused bool) {
	if refused {
		s.pin(ctx, refusedSlip(sync), true, saidLife)
		return
	}
	was, err := s.state.Slip(ctx, refusedSlip(sync))
	if err == nil && was != nil {
		_, err = s.state.Unpin(ctx, refusedSlip(sync))
	}
	if err != nil {
		s.log.Warn("that the credentials are accepted again is not known yet", "sync", sync, "err", err)
	}
}

// tell looks after each run, and every while, whether there is something to tell, until ctx ends.
func (s *service) tell(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	watches := map[string]*notify.Watch{}
	complained := map[string]string{}
	for {
		s.tellOnce(ctx, watches, complained)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.news:
		}
	}
}

func (s *service) tellOnce(ctx context.Context, watches map[string]*notify.Watch, complained map[string]string) {
	blocks := s.inForce().Notify
	maps.DeleteFunc(watches, func(name string, _ *notify.Watch) bool {
		return !slices.ContainsFunc(blocks, func(n *mapping.Notify) bool { return n.Name == name })
	})
	if !s.loop.Leads() { // who does tells; what it said is read when this node comes to lead
		clear(watches)
		return
	}
	if len(blocks) == 0 {
		return
	}
	vitals, err := s.vitals(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("the state cannot be read for those who are notified", "err", err)
		}
		return
	}
	for _, n := range blocks {
		if len(n.Missing) > 0 {
			continue // validate and the start have said so
		}
		w := watches[n.Name]
		if w == nil {
			w = &notify.Watch{Began: s.began}
			if _, err := s.pinned(ctx, saidSlip(n.Name), w); err != nil {
				s.log.Error("what was said cannot be read for those who are notified", "notify", n.Name, "err", err)
				continue
			}
			watches[n.Name] = w
		}
		w.Rules = notify.Rules{Late: n.Late, Stuck: n.Stuck, Again: n.Again}
		for _, word := range n.On {
			w.Rules.On = append(w.Rules.On, notify.Kind(word))
		}
		var failed error
		for _, notice := range w.Due(s.now(), vitals) {
			notice.Text = s.Meter.Hide(notice.Text)
			if failed = s.channel(n).Send(ctx, notice); failed != nil {
				break // the rest is due in the next round, too
			}
			w.Told(notice, s.now())
			s.pin(ctx, saidSlip(n.Name), w, saidLife)
			s.log.Info("notified", "notify", n.Name, "about", notice.Kind, "sync", notice.Sync, "over", notice.Over)
		}
		said := ""
		if failed != nil && ctx.Err() == nil {
			if said = failed.Error(); complained[n.Name] != said {
				s.log.Warn("nobody was notified; it is tried again", "notify", n.Name, "err", failed)
			}
		}
		complained[n.Name] = said
	}
}

// saidSlip remembers what was said on a channel, over restarts and for the next node that leads.
func saidSlip(channel string) string { return "said " + channel }

func (s *service) channel(n *mapping.Notify) notify.Channel {
	set := n.Settings
	switch n.Kind {
	case "slack":
		return &notify.Slack{URL: string(set.URL)}
	case "email":
		return &notify.Email{Server: set.Server, Username: set.Username, Password: string(set.Password), From: set.From, To: set.To}
	default:
		return &notify.Webhook{URL: string(set.URL), Secret: string(set.Secret), Now: s.now}
	}
}
