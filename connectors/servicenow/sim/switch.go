package sim

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Switches are how an instance differs from a usual one. The zero value is a usual one. Conditions are a table,
// or TABLE?QUERY with an encoded query for some of its rows; fields are TABLE.FIELD. Access rules bind all but
// admins, and nobody who works in the instance itself.
type Switches struct {
	PriorityOff   bool // impact and urgency do not decide the priority
	StateRulesOff bool // states stamp nothing, close nothing and do not follow each other
	DataPolicyOff bool // resolving needs no code and notes

	Abort       []string // conditions under which the business rule "Not like this" aborts a write
	HideRows    []string // conditions of rows that cannot be seen
	HideFields  []string // fields that cannot be seen, nor searched
	DropWrites  []string // fields whose new value is dropped without a word
	DenyWrites  []string // fields with which a write is refused
	DenyQueries []string // fields that can be seen, but not searched

	InvalidQueryNoRows bool   // glide.invalid_query.returns_no_rows
	OldChoices         bool   // close codes and states of older releases
	Zone               string // time zone of all users that log in
	DateFormat         string // and their date format, as dd.MM.yyyy
	Language           string // and their language; "de" has error texts

	BasicRestricted bool // interactive accounts may not log in with a password, as from Zurich on

	Grants      string        // of OAuth, separated by commas; "" is all
	TokenLife   time.Duration // of access tokens
	RefreshLife time.Duration // of refresh tokens
	OwnTokens   bool          // each request for a token gives a new one, not the one that the user has
	JTIOnce     bool          // a JSON web token counts once
	JWTKey      string        // public key in PEM form for applications that have none of their own

	BatchBudget int // requests of a batch that its time is enough for; 0 is all

	ImportSets           []string // STAGING:TARGET:COALESCE,…: a staging table with a transform map
	ImportFields         []string // STAGING.COLUMN:FIELD: a column that fills a field of another name
	ImportEmptiesDropped bool     // transform maps do not copy empty values

	HourlyRate int // requests an hour and user
	Queue      int // requests at once; the rest is refused
	Sessions   int // requests at once with one session cookie; the rest is answered 202

	DefaultLimit   int           // rows of a list without sysparm_limit
	RandomTies     bool          // rows that compare equal come in any order
	LateCommit     time.Duration // what people write on tasks is seen so much later, with the stamp of its beginning
	Clock          time.Duration // the instance's clock is so much ahead
	AutoClose      int           // days after which resolved incidents are closed
	MaxURL         int           // bytes
	MaxBody        int           // bytes
	MaxFile        int           // bytes of an attachment: com.glide.attachment.max_size
	Extensions     string        // of attachments, separated by commas: glide.attachment.extensions; "" is all
	V1             bool          // paths without a version mean v1
	Journals       string        // of sys_journal_field: "hidden" shows no row, "denied" answers 403
	Audits         string        // of sys_audit: "hidden" shows no row, "denied" answers 403, "off" notes no changes
	HideDictionary bool          // as Options.HideDictionary
}

// A setting is one switch as it is written.
type setting struct {
	name, value, what string
	set               func(w *Switches, v string) error
}

var settings = []setting{
	{"priority", "off", "impact and urgency do not decide the priority", flag(func(w *Switches) *bool { return &w.PriorityOff }, "off", "on")},
	{"state-rules", "off", "states stamp and close nothing, and incident_state goes its own way", flag(func(w *Switches) *bool { return &w.StateRulesOff }, "off", "on")},
	{"data-policy", "off", "resolving needs no code and notes", flag(func(w *Switches) *bool { return &w.DataPolicyOff }, "off", "on")},
	{"abort", "incident?urgency=1", "a business rule aborts writes that lead to such a row", many(func(w *Switches) *[]string { return &w.Abort })},
	{"hide-rows", "incident?category=network", "row access rule: such rows are not shown", many(func(w *Switches) *[]string { return &w.HideRows })},
	{"hide-field", "incident.caller_id", "field access rule: the field is missing, and queries that name it are refused", fields(func(w *Switches) *[]string { return &w.HideFields })},
	{"drop-write", "incident.urgency", "field access rule: what is written is dropped without a word", fields(func(w *Switches) *[]string { return &w.DropWrites })},
	{"deny-write", "incident.urgency", "field access rule: a write that names the field is refused", fields(func(w *Switches) *[]string { return &w.DenyWrites })},
	{"deny-query", "incident.category", "query access rule: filters and orders that name the field are refused", fields(func(w *Switches) *[]string { return &w.DenyQueries })},
	{"invalid-query", "no-rows", "glide.invalid_query.returns_no_rows: an unknown field finds nothing instead of everything", flag(func(w *Switches) *bool { return &w.InvalidQueryNoRows }, "no-rows", "all-rows")},
	{"choices", "old", "close codes and states of older releases", flag(func(w *Switches) *bool { return &w.OldChoices }, "old", "new")},
	{"zone", "Europe/Brussels", "time zone of the users", zone},
	{"date-format", "dd.MM.yyyy", "date format of the users", anyWord(func(w *Switches) *string { return &w.DateFormat })},
	{"language", "de", "language of the users: error texts and numbers", one(func(w *Switches) *string { return &w.Language }, "en", "de")},
	{"basic-auth", "restricted", "passwords of interactive accounts are refused, as from release Zurich on", flag(func(w *Switches) *bool { return &w.BasicRestricted }, "restricted", "open")},
	{"oauth-grants", "password,refresh_token", "grants of the token endpoint (password, refresh_token, client_credentials, jwt-bearer, or none)", grants},
	{"token-life", "90s", "life of access tokens", period(func(w *Switches) *time.Duration { return &w.TokenLife })},
	{"refresh-life", "10m", "life of refresh tokens", period(func(w *Switches) *time.Duration { return &w.RefreshLife })},
	{"tokens", "own", "each log-in gets a token of its own, not the one that user and client share", flag(func(w *Switches) *bool { return &w.OwnTokens }, "own", "shared")},
	{"jti", "once", "a JSON web token counts once", flag(func(w *Switches) *bool { return &w.JTIOnce }, "once", "ignored")},
	{"jwt-key", "public.pem", "file with the public key for JSON web tokens of applications that have none", func(w *Switches, v string) error {
		key, err := os.ReadFile(v)
		w.JWTKey = string(key)
		return err
	}},
	{"batch-budget", "10", "requests of a batch that its time is enough for; the rest is not serviced", count(func(w *Switches) *int { return &w.BatchBudget })},
	{"import-set", "u_staging_incident:incident:correlation_id", "a staging table with a transform map to a table, which finds records by these fields", func(w *Switches, v string) error {
		if v != "" {
			if _, err := parseTransform(v); err != nil {
				return err
			}
		}
		return many(func(w *Switches) *[]string { return &w.ImportSets })(w, v)
	}},
	{"import-field", "u_staging_incident.u_title:short_description", "a column of a staging table fills a field of another name", fields(func(w *Switches) *[]string { return &w.ImportFields })},
	{"import-empties", "dropped", "transform maps leave fields alone for which a row has an empty value", flag(func(w *Switches) *bool { return &w.ImportEmptiesDropped }, "dropped", "copied")},
	{"hourly-rate", "100", "rate rule: requests an hour and user, with its headers", count(func(w *Switches) *int { return &w.HourlyRate })},
	{"queue", "4", "requests at once; more are refused with 429 without headers", count(func(w *Switches) *int { return &w.Queue })},
	{"session", "1", "requests at once with one session cookie; more are answered 202", count(func(w *Switches) *int { return &w.Sessions })},
	{"default-limit", "10", "rows of a list that names no limit", count(func(w *Switches) *int { return &w.DefaultLimit })},
	{"tie-order", "random", "rows that compare equal come in another order each time", flag(func(w *Switches) *bool { return &w.RandomTies }, "random", "rotated")},
	{"late-commit", "30s", "what people write on tasks is seen so much later, with the stamp of its beginning", period(func(w *Switches) *time.Duration { return &w.LateCommit })},
	{"clock", "-90s", "the instance's clock is so much ahead", period(func(w *Switches) *time.Duration { return &w.Clock })},
	{"auto-close", "7", "days after which a job closes resolved incidents", count(func(w *Switches) *int { return &w.AutoClose })},
	{"max-url", "2000", "bytes of an address", count(func(w *Switches) *int { return &w.MaxURL })},
	{"max-body", "100000", "bytes of a request", count(func(w *Switches) *int { return &w.MaxBody })},
	{"max-file", "100000", "bytes of an attachment, as com.glide.attachment.max_size", count(func(w *Switches) *int { return &w.MaxFile })},
	{"extensions", "txt,log,png", "extensions that attachments may have, as glide.attachment.extensions", anyWord(func(w *Switches) *string { return &w.Extensions })},
	{"api", "v1", "paths without a version mean v1, which answers 404 for an empty list", flag(func(w *Switches) *bool { return &w.V1 }, "v1", "v2")},
	{"journals", "hidden", "sys_journal_field shows no row, or is denied", one(func(w *Switches) *string { return &w.Journals }, "shown", "hidden", "denied")},
	{"audits", "hidden", "sys_audit shows no row, is denied, or is not written at all", one(func(w *Switches) *string { return &w.Audits }, "kept", "hidden", "denied", "off")},
	{"dictionary", "hidden", "sys_dictionary and its kin are for admins", flag(func(w *Switches) *bool { return &w.HideDictionary }, "hidden", "shown")},
}

// SwitchExamples lists all switches, each with a value it may have.
func SwitchExamples() []Usage {
	var out []Usage
	for _, e := range settings {
		out = append(out, Usage{e.name + "=" + e.value, e.what})
	}
	return out
}

// Set turns one switch, NAME or NAME=VALUE: see SwitchExamples. A name alone is the value that the example has.
// Conditions and fields add up; without a value after the sign they are taken away again.
func (w *Switches) Set(text string) error {
	name, value, given := strings.Cut(strings.TrimSpace(text), "=")
	i := slices.IndexFunc(settings, func(e setting) bool { return e.name == name })
	if i < 0 {
		var names []string
		for _, e := range settings {
			names = append(names, e.name)
		}
		return fmt.Errorf("there is no switch %q; there are %s", name, strings.Join(names, ", "))
	}
	if !given {
		value = settings[i].value
	}
	if err := settings[i].set(w, value); err != nil {
		return fmt.Errorf("switch %s: %w", name, err)
	}
	return nil
}

func flag(at func(*Switches) *bool, yes, no string) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		if v != yes && v != no {
			return fmt.Errorf("%q is neither %s nor %s", v, yes, no)
		}
		*at(w) = v == yes
		return nil
	}
}

// one takes one of several words, of which the first is the usual.
func one(at func(*Switches) *string, words ...string) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("%q is none of %s", v, strings.Join(words, ", "))
		}
		if v == words[0] {
			v = ""
		}
		*at(w) = v
		return nil
	}
}

func anyWord(at func(*Switches) *string) func(*Switches, string) error {
	return func(w *Switches, v string) error { *at(w) = v; return nil }
}

func grants(w *Switches, v string) error {
	for g := range strings.SplitSeq(v, ",") {
		if v != "" && v != "none" && !slices.Contains([]string{grantPassword, grantRefresh, grantClient, grantJWT}, g) {
			return fmt.Errorf("%q is no grant", g)
		}
	}
	w.Grants = v
	return nil
}

func zone(w *Switches, v string) error {
	if _, err := time.LoadLocation(v); err != nil {
		return err
	}
	w.Zone = v
	return nil
}

func count(at func(*Switches) *int) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number of at least 0, which is the usual", v)
		}
		*at(w) = n
		return nil
	}
}

func period(at func(*Switches) *time.Duration) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		d, err := time.ParseDuration(v)
		*at(w) = d
		return err
	}
}

func many(at func(*Switches) *[]string) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		if v == "" {
			*at(w) = nil
			return nil
		}
		*at(w) = append(slices.Clone(*at(w)), v)
		return nil
	}
}

func fields(at func(*Switches) *[]string) func(*Switches, string) error {
	add := many(at)
	return func(w *Switches, v string) error {
		if table, field, ok := strings.Cut(v, "."); v != "" && (!ok || table == "" || field == "") {
			return fmt.Errorf("%q is not TABLE.FIELD", v)
		}
		return add(w, v)
	}
}

// A turned is a set of switches with its conditions ready for use.
type turned struct {
	Switches
	location    *time.Location
	abort, hide map[string][]*query
	maps        map[string][]transform // by staging table
}

// Switch turns one switch of a running instance, as Switches.Set does.
func (s *Server) Switch(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.on().Switches
	if err := w.Set(text); err != nil {
		return err
	}
	return s.turn(w)
}

// on are the switches as they are now.
func (s *Server) on() *turned { return s.switches.Load() }

// turn puts switches into effect, for callers that hold the lock.
func (s *Server) turn(w Switches) error {
	was := s.on()
	now := &turned{Switches: w, abort: map[string][]*query{}, hide: map[string][]*query{}}
	for _, kind := range []struct {
		conditions []string
		into       map[string][]*query
	}{{w.Abort, now.abort}, {w.HideRows, now.hide}} {
		for _, text := range kind.conditions {
			name, condition, _ := strings.Cut(text, "?")
			t := s.tables[name]
			if t == nil {
				return fmt.Errorf("switch: %q names no table", text)
			}
			q := s.parse(t, condition, &people)
			if condition != "" && (q.invalid || len(q.groups) == 0) {
				return fmt.Errorf("switch: %q is no condition on %s", condition, name)
			}
			kind.into[name] = append(kind.into[name], q)
		}
	}
	var err error
	if now.maps, err = s.transforms(w); err != nil {
		return err
	}
	if w.Zone != "" {
		// A zone that does not exist is shown as GMT, as an instance does.
		now.location, _ = time.LoadLocation(w.Zone)
	}
	s.switches.Store(now)
	if was == nil || was.OldChoices != w.OldChoices {
		s.chooseRelease(w.OldChoices)
	}
	for i := range s.users {
		s.profile(&s.users[i], now)
	}
	return nil
}

// profile writes what a user's row says about zone and format.
func (s *Server) profile(u *User, now *turned) {
	r := s.findOne("sys_user", "user_name", u.Login)
	if r == nil {
		return
	}
	next := slices.Clone(r.v)
	for field, v := range map[string]string{"time_zone": now.Zone, "date_format": now.DateFormat} {
		if v != "" {
			next[r.t.at[field]] = v
		}
	}
	r.t.replace(r, next)
}

// session is a user as switches make them.
func (now *turned) session(u *User) *User {
	if now.location == nil && now.DateFormat == "" && now.Language == "" {
		return u
	}
	as := *u
	if now.location != nil {
		as.zone = now.location
	}
	as.layout, as.language = layout(now.DateFormat), now.Language
	return &as
}

// layout is a Java date pattern for Go, with the usual time behind it.
func layout(pattern string) string {
	if pattern == "" {
		return ""
	}
	return strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02").Replace(pattern) + " 15:04:05"
}

// chooseRelease replaces the choices that differ between releases.
func (s *Server) chooseRelease(old bool) {
	t := s.tables["sys_choice"]
	t.settleAll()
	differ := func(r *row) bool {
		v := r.get("value")
		return r.get("name") == "incident" && (r.get("element") == "close_code" ||
			(v == "4" || v == "5") && (r.get("element") == "state" || r.get("element") == "incident_state"))
	}
	present := slices.DeleteFunc(slices.Clone(t.rows()), func(r *row) bool { return !differ(r) })
	codes := closeCodes
	if old {
		codes = oldCloseCodes
	} else if slices.ContainsFunc(present, func(r *row) bool { return r.get("value") == codes[0] }) {
		return
	}
	for _, r := range present {
		t.remove(r)
	}
	s.choices = nil
	for i, code := range codes {
		s.store("sys_choice", map[string]string{"name": "incident", "element": "close_code", "value": code, "label": code, "sequence": strconv.Itoa(i * 10)})
	}
	if old {
		for i, label := range []string{"Awaiting User Info", "Awaiting Evidence"} {
			for _, field := range []string{"state", "incident_state"} {
				s.store("sys_choice", map[string]string{"name": "incident", "element": field, "value": strconv.Itoa(4 + i), "label": label, "sequence": strconv.Itoa(25 + i)})
			}
		}
	}
}

// The close codes of current and of older releases.
var (
	closeCodes = []string{"Duplicate", "Known error", "No resolution provided", "Resolved by caller", "Resolved by change",
		"Resolved by problem", "Resolved by request", "Solution provided", "Workaround provided", "User error"}
	oldCloseCodes = []string{"Solved (Work Around)", "Solved (Permanently)", "Solved Remotely (Work Around)", "Solved Remotely (Permanently)",
		"Not Solved (Not Reproducible)", "Not Solved (Too Costly)", "Closed/Resolved by Caller"}
)

// aborted is the business rule: it looks at the row as it would be.
func (s *Server) aborted(d *draft) *failure {
	if !s.meets(s.on().abort, &row{t: d.t, v: d.next}) {
		return nil
	}
	return abort(d.t)
}

// meets reports whether a row fulfils one of the conditions of its table or an ancestor.
func (s *Server) meets(conditions map[string][]*query, r *row) bool {
	if len(conditions) == 0 {
		return false
	}
	for t := r.t; t != nil; t = t.parent {
		if slices.ContainsFunc(conditions[t.name], func(q *query) bool { return q.matches(s, r) }) {
			return true
		}
	}
	return false
}

// names reports whether a list of TABLE.FIELD has this field, of the table or of one that it extends.
func names(list []string, t *table, field string) bool {
	if len(list) == 0 {
		return false
	}
	for ; t != nil; t = t.parent {
		if slices.Contains(list, t.name+"."+field) {
			return true
		}
	}
	return false
}
