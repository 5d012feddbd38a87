package sim

import "time"

const (
	policyID   = "77012"
	policyName = "Core network"
)

// stamp writes a time with no, three or six digits of a second, all of which ilert does.
func (s *Server) stamp(id int64, t time.Time) string {
	return t.UTC().Format([]string{"2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.000000Z"}[id%3])
}

// wire is an alert as it is answered, by itself or in a list.
func (s *Server) wire(a *Alert, alone bool) map[string]any {
	m := map[string]any{
		"id": a.ID, "summary": a.Summary, "details": a.Details, "reportTime": s.stamp(a.ID, a.Reported), "resolvedOn": nil, "status": a.Status,
		"priority": a.Priority, "alertKey": nil, "alertSource": map[string]any{"id": a.Source, "name": ""},
		"escalationPolicy": map[string]any{"id": 77012, "name": policyName}, "assignedTo": nil, "responders": []any{},
		"nextEscalation": nil, "images": []any{}, "links": a.Links,
	}
	if a.Links == nil {
		m["links"] = []any{}
	}
	if src := s.source(a.Source); src != nil {
		m["alertSource"] = map[string]any{"id": a.Source, "name": src.Name, "integrationType": src.Kind}
	}
	if a.Key != "" {
		m["alertKey"] = a.Key
	}
	if !a.ResolvedOn.IsZero() {
		m["resolvedOn"] = s.stamp(a.ID+1, a.ResolvedOn)
	}
	if a.AcceptedBy != 0 {
		u := s.user(a.AcceptedBy)
		m["assignedTo"] = map[string]any{"id": u.ID}
		m["responders"] = []any{map[string]any{"user": map[string]any{"id": u.ID, "firstName": u.First, "lastName": u.Last}, "status": accepted}}
	}
	if !s.switches.Older {
		m["severity"] = nil
		if a.Severity > 0 {
			m["severity"] = a.Severity
		}
		labels := map[string]string{}
		for k, v := range a.Labels {
			labels[k] = v
		}
		m["labels"], m["linkedIncidentId"], m["mergedIntoId"], m["mergeState"] = labels, nil, nil, "NONE"
		if a.MergedInto != 0 {
			m["mergedIntoId"], m["mergeState"] = a.MergedInto, "MERGED"
		}
	}
	if s.switches.Novel {
		m["holographs"] = []any{map[string]any{"kind": "NEW_KIND"}}
		m["mergeState"] = "HALF_MERGED"
		if !alone {
			m["onlyInLists"] = true
			delete(m, "labels")
		}
	}
	return m
}
