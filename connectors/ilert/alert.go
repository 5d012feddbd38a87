package ilert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The states of an alert, in the one order that they have.
const (
	pending  = "PENDING"
	accepted = "ACCEPTED"
	resolved = "RESOLVED"
)

// The paths that this package writes or looks at itself.
const (
	pathID      = "id"
	pathSummary = "summary"
	pathStatus  = "status"
	pathKey     = "alertKey"
)

// An alert is one as it stands in an answer, member by member: what is not known is left alone, and a member of an
// unexpected kind spoils that path and no other.
type alert map[string]json.RawMessage

// A path is what can be read of an alert, and what can be given to a new one.
type path struct {
	connectors.Field
	// newer members came to the API lately: where one is missing nothing is known. Others are empty then.
	newer bool
	// sent is the member of an event that fills it; "" where an event cannot.
	sent string
	read func(a alert) record.Value // nil: the member of this name
}

func texts(name string, choices ...string) path {
	p := path{Field: connectors.Field{Path: name, Type: record.Type{Kind: record.Text}, ReadOnly: true}}
	for _, c := range choices {
		p.Choices = append(p.Choices, connectors.Choice{Value: record.OfText(c), Label: c})
	}
	return p
}

func typed(name string, k record.Kind) path {
	return path{Field: connectors.Field{Path: name, Type: record.Type{Kind: k}, ReadOnly: true}}
}

// sendable makes a path one that new alerts are given.
func (p path) sendable() path {
	p.sent, p.ReadOnly, p.Once = p.Path, false, true
	return p
}

func (p path) late() path {
	p.newer = true
	return p
}

func (p path) by(read func(a alert) record.Value) path {
	p.read = read
	return p
}

var paths = func() []path {
	list := []path{
		texts(pathID).by(func(a alert) record.Value { return orNull(a.id()) }),
		texts(pathSummary).sendable(),
		texts("details").sendable(),
		texts(pathStatus, pending, accepted, resolved),
		texts("priority", "HIGH", "LOW").sendable(),
		typed("severity", record.Int).late().sendable(),
		texts(pathKey).sendable(),
		inner("alertSource", "id"), inner("alertSource", "name"),
		inner("escalationPolicy", "id"), inner("escalationPolicy", "name"),
		typed("reportTime", record.Time), typed("resolvedOn", record.Time), typed("nextEscalation", record.Time),
		typed("responders", record.List).by(alert.responders),
		texts("acceptedBy").by(alert.acceptedBy),
		typed("labels", record.Object).late().sendable(),
		typed("links", record.List).sendable(),
		texts("linkedIncidentId").late(), texts("mergedIntoId").late(), texts("mergeState").late(),
	}
	for i := range list {
		switch p := &list[i]; p.Path {
		case pathSummary:
			p.Required = true
		case pathStatus:
			p.ReadOnly = false
		}
	}
	return list
}()

// inner is a member of a member, which is text: ids come as numbers and as texts.
func inner(outer, name string) path {
	return texts(outer + "." + name).by(func(a alert) record.Value {
		var m map[string]json.RawMessage
		if raw, there := a[outer]; !there || json.Unmarshal(raw, &m) != nil {
			return orNull("")
		}
		return orNull(plain(m[name]))
	})
}

func find(name string) *path {
	for i := range paths {
		if paths[i].Path == name {
			return &paths[i]
		}
	}
	return nil
}

func orNull(s string) record.Value {
	if s == "" {
		return record.NullValue
	}
	return record.OfText(s)
}

// plain is a JSON text or number as text, and "" for all else.
func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// id is the identity, which webhooks give as text and everything else as a number.
func (a alert) id() string     { return plain(a[pathID]) }
func (a alert) status() string { return plain(a[pathStatus]) }
func (a alert) source() string { return find("alertSource.id").value(a).Text() }
func (a alert) open() bool     { return a.status() != resolved }

func (a alert) reported() time.Time {
	return find("reportTime").value(a).Time()
}

// keyed reports whether ilert takes key for this alert's: without case and without space around.
func (a alert) keyed(key string) bool {
	return strings.EqualFold(strings.TrimSpace(plain(a[pathKey])), strings.TrimSpace(key))
}

type responder struct {
	User struct {
		ID        json.RawMessage `json:"id"`
		FirstName string          `json:"firstName"`
		LastName  string          `json:"lastName"`
	} `json:"user"`
	Status string `json:"status"`
}

func (a alert) answering() ([]responder, bool) {
	var list []responder
	raw, there := a["responders"]
	return list, !there || json.Unmarshal(raw, &list) == nil
}

// responders are the ids of the users who are to answer.
func (a alert) responders() record.Value {
	list, ok := a.answering()
	if !ok {
		return record.UnknownValue
	}
	ids := []string{}
	for _, r := range list {
		ids = append(ids, plain(r.User.ID))
	}
	v, err := record.Of(ids)
	if err != nil {
		return record.UnknownValue
	}
	return v
}

// acceptedBy are the names of those who did.
func (a alert) acceptedBy() record.Value {
	list, ok := a.answering()
	if !ok {
		return record.UnknownValue
	}
	var names []string
	for _, r := range list {
		if name := strings.TrimSpace(r.User.FirstName + " " + r.User.LastName); r.Status == accepted && name != "" {
			names = append(names, name)
		}
	}
	return orNull(strings.Join(names, ", "))
}

// value is what an alert shows under a path.
func (p *path) value(a alert) record.Value {
	if p.read != nil {
		return p.read(a)
	}
	raw, there := a[p.Path]
	switch {
	case !there && p.newer:
		return record.Value{}
	case !there || string(raw) == "null":
		return record.NullValue
	}
	switch p.Type.Kind {
	case record.Text:
		if s := plain(raw); s != "" || string(raw) == `""` {
			return orNull(s)
		}
		return record.UnknownValue
	case record.Time:
		// With no, three or six digits of a second, all of which RFC 3339 allows.
		t, err := time.Parse(time.RFC3339, plain(raw))
		v, ok := record.Of(t)
		if err != nil || ok != nil {
			return record.UnknownValue
		}
		return v
	}
	v := record.UnknownValue
	if json.Unmarshal(raw, &v) != nil || v.Kind() != p.Type.Kind {
		return record.UnknownValue
	}
	return v
}

// record is a with the values of these paths. A path that does not exist is absent.
func (a alert) record(names []string) record.Record {
	r := record.Record{Key: a.id(), Version: a.version(), Values: make([]record.Value, len(names))}
	for i, name := range names {
		if p := find(name); p != nil {
			r.Values[i] = p.value(a)
		}
	}
	return r
}

// version is a hash of all that an alert shows, as it has no number or stamp of its own.
func (a alert) version() string {
	var b []byte
	for i := range paths {
		if p := &paths[i]; !p.newer { // which lists may leave out
			b = append(b, p.value(a).String()...)
			b = append(b, 0)
		}
	}
	return fmt.Sprintf("%016x", xxhash.Sum64(b))
}
