package sim_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// zoo is an instance with five incidents, a to e, each a minute after the other.
func zoo(t *testing.T) *instance {
	in := newInstance(t, sim.Options{})
	in.must("sys_user", map[string]string{"user_name": "zoe", "name": "Zoe Zebra", "email": "zoe@example.com"})
	zoe := in.Find("sys_user", "user_name", "zoe")[0]["sys_id"]
	for _, f := range []map[string]string{
		{"short_description": "a", "state": "1", "impact": "1", "urgency": "1", "category": "network", "correlation_id": "T-1"},
		{"short_description": "b", "state": "2", "impact": "2", "urgency": "2", "category": "network", "caller_id": zoe, "correlation_id": "t-2"},
		{"short_description": "c", "state": "3", "impact": "3", "urgency": "3", "category": "software", "due_date": "2026-03-05 00:00:00"},
		{"short_description": "d", "state": "8", "impact": "3", "urgency": "1", "category": "hardware", "correlation_id": "x^y"},
		{"short_description": "e", "state": "10", "impact": "1", "urgency": "3", "category": "inquiry", "description": "Router DOWN"},
	} {
		in.must("incident", f)
		in.now = in.now.Add(time.Minute)
	}
	return in
}

func TestEncodedQuery(t *testing.T) {
	in := zoo(t)
	for _, tt := range []struct{ name, query, want string }{
		{"no query selects all", "", "abcde"},
		{"equality", "category=network", "ab"},
		{"two terms are AND-ed", "category=network^state=1", "a"},
		{"^OR binds to the term before it and tighter than ^", "impact=1^category=networkORx^ORcategory=inquiry", "e"},
		{"^OR chains", "state=1^ORstate=2^ORstate=3", "abc"},
		{"a term after an ^OR applies to all alternatives", "state=1^ORstate=2^impact=2", "b"},
		{"^NQ starts an alternative of its own", "category=network^state=1^NQcategory=software", "ac"},
		{"a trailing ^EQ is harmless", "state=2^EQ", "b"},
		{"an unknown field is dropped and widens the result", "no_such_field=banana", "abcde"},
		{"the valid terms beside an unknown one still apply", "no_such_field=banana^state=2", "b"},
		{"carets alone are dropped", "^^^", "abcde"},
		{"prose is dropped", "the quick brown fox", "abcde"},
		{"spaces around the operator drop the term", "state = 2", "abcde"},
		{"field names are case sensitive", "State=2", "abcde"},
		{"an impossible value of a valid field matches nothing", "state=NOT_A_NUMBER", ""},
		{"a second = belongs to the value", "state==1", ""},
		{"IN", "stateIN1,3", "ac"},
		{"IN with junk keeps the good values", "stateIN1,junk", "a"},
		{"NOT IN", "stateNOT IN1,3", "bde"},
		{"numbers compare by size, not as text", "state>3", "de"},
		{"BETWEEN is inclusive", "impactBETWEEN2@3", "bcd"},
		{"BETWEEN without @ is dropped", "impactBETWEEN2", "abcde"},
		{"text compares without case", "correlation_id=T-2", "b"},
		{"an empty value finds the empty", "correlation_id=", "ce"},
		{"!= also finds the empty", "correlation_id!=T-1", "bcde"},
		{"ISEMPTY", "caller_idISEMPTY", "acde"},
		{"ISNOTEMPTY", "caller_idISNOTEMPTY", "b"},
		{"ANYTHING", "caller_idANYTHING", "abcde"},
		{"LIKE finds text inside, without case", "descriptionLIKErouter d", "e"},
		{"the short form of LIKE", "description*down", "e"},
		{"NOT LIKE", "categoryNOT LIKEnet", "cde"},
		{"STARTSWITH", "categorySTARTSWITHso", "c"},
		{"ENDSWITH", "categoryENDSWITHware", "cd"},
		{"STARTSWITH on a reference looks at what people see", "caller_idSTARTSWITHzoe", "b"},
		{"dot-walking", "caller_id.email=zoe@example.com", "b"},
		{"a dot-walk that leads nowhere is dropped", "caller_id.nowhere=1", "abcde"},
		{"times have whole seconds and literals are UTC", "sys_updated_on>=2026-03-02 10:03:00", "de"},
		{"an equal second is found", "sys_updated_on=2026-03-02 10:01:00", "b"},
		{"a window", "sys_updated_on>2026-03-02 10:00:00^sys_updated_on<=2026-03-02 10:02:00", "bc"},
		{"a day stands for its midnight", "due_date<2026-03-05", ""},
		{"a day stands for its midnight, inclusive", "due_date<=2026-03-05", "c"},
		{"ISO 8601 is no date here", "sys_updated_on>=2026-03-02T10:03:00Z", ""},
		{"nothing is not less than something", "due_date<2030-01-01 00:00:00", "c"},
		{"ON takes start and end", "opened_atONToday@2026-03-02 10:01:00@2026-03-02 10:02:00", "bc"},
		{"scripted days", "opened_at>=javascript:gs.beginningOfToday()", "abcde"},
		{"a scripted time", "opened_at>javascript:gs.dateGenerate('2026-03-02','10:03:00')", "e"},
		{"RELATIVEGT", "sys_updated_onRELATIVEGT@minute@ago@2", "e"},
		{"SAMEAS compares two fields", "impactSAMEASurgency", "abc"},
		{"GT_FIELD", "impactGT_FIELDurgency", "d"},
		{"a boolean", "active=true", "abc"},
		{"a boolean that is none", "active=maybe", ""},
		{"a value with a caret ends at it", "correlation_id=x^y", ""},
		{"> without a value is malformed and dropped", "sys_id>", "abcde"},
		{"choices compare values, not labels", "state=Resolved", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := in.list("incident", tt.query, "short_description")
			slices.Sort(got)
			if strings.Join(got, "") != tt.want {
				t.Errorf("%s found %v, want %s", tt.query, got, tt.want)
			}
		})
	}
}

func TestQueryOrder(t *testing.T) {
	in := zoo(t)
	for _, tt := range []struct{ name, query, want string }{
		{"by a number, not as text", "ORDERBYstate", "abcde"},
		{"descending", "ORDERBYDESCstate", "edcba"},
		{"several, left to right", "ORDERBYcategory^ORDERBYDESCshort_description", "debac"},
		{"an unknown one is dropped", "ORDERBYnope^ORDERBYshort_description", "abcde"},
		{"beside conditions", "category=network^ORDERBYDESCshort_description", "ba"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(in.list("incident", tt.query, "short_description"), ""); got != tt.want {
				t.Errorf("%s gave %s, want %s", tt.query, got, tt.want)
			}
		})
	}
	ids := in.list("incident", "ORDERBYsys_id", "sys_id")
	if len(ids) != 5 || !slices.IsSorted(ids) {
		t.Errorf("ORDERBYsys_id gave %v", ids)
	}
}

func TestInvalidQueryPropertyGivesNoRows(t *testing.T) {
	in := zoo(t)
	in.must("sys_properties", map[string]string{"name": "glide.invalid_query.returns_no_rows", "value": "true"})
	if got := in.list("incident", "no_such_field=1", "number"); len(got) != 0 {
		t.Errorf("an invalid query found %v", got)
	}
	if got := in.list("incident", "state=2", "number"); len(got) != 1 {
		t.Errorf("a valid query found %v", got)
	}
}

func TestFieldValuePairsTakeDisplayValues(t *testing.T) {
	in := zoo(t)
	for target, want := range map[string]int{
		"state=Canceled": 1, "state=8": 1, "state=Canceled&sysparm_query=state%3D1": 1, "caller_id=Zoe%20Zebra": 1, "nonsense=1": 5, "category=network&state=1": 1,
	} {
		var rows []map[string]any
		in.result(in.do("integration", "GET", "/api/now/table/incident?sysparm_fields=number&"+target, ""), 200, &rows)
		if len(rows) != want {
			t.Errorf("%s found %d rows, want %d", target, len(rows), want)
		}
	}
}

func FuzzEncodedQuery(f *testing.F) {
	for _, q := range []string{
		"", "state=1^ORstate=2^NQactive=true", "ORDERBYDESCnumber^ORDERBY", "stateIN1,2^sys_id>abc^ORDERBYsys_id", "caller_id.manager.name=x",
		"opened_atONToday@javascript:gs.beginningOfToday()@javascript:gs.endOfToday()", "^^^", "stateBETWEEN@", "javascript:gs.daysAgo(", "NQ^OR^ORDERBY",
		"sys_updated_onRELATIVEGT@hour@ago@1", "impactSAMEASurgency", "sys_id>=^sys_id=", "x\x00=\xff",
	} {
		f.Add(q)
	}
	in := zoo(&testing.T{})
	f.Fuzz(func(t *testing.T, q string) {
		in.t = t
		a := in.do("integration", "GET", "/api/now/table/incident?sysparm_query="+url.QueryEscape(q), "")
		if a.status == 414 {
			return
		}
		if a.status != 200 || !json.Valid([]byte(a.body)) {
			t.Fatalf("%q: status %d, body %q", q, a.status, a.body)
		}
		// A narrower query never finds more.
		if wide, narrow := len(in.list("incident", "", "sys_id")), len(in.list("incident", q, "sys_id")); narrow > wide {
			t.Fatalf("%q found %d of %d rows", q, narrow, wide)
		}
	})
}
