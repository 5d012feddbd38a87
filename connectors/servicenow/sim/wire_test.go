package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func TestErrors(t *testing.T) {
	in := newInstance(t, sim.Options{})
	const gone = "/api/now/table/incident/00000000000000000000000000000000"
	for _, tt := range []struct {
		name, user, method, target, body string
		headers                          []string
		status                           int
		message, detail                  string
	}{
		{"no credentials", "", "GET", "/api/now/table/incident", "", nil, 401, "User Not Authenticated", "Required to provide Auth information"},
		{"wrong password", "", "GET", "/api/now/table/incident", "", []string{"Authorization", "Basic aW50ZWdyYXRpb246d3Jvbmc="}, 401, "User Not Authenticated", "Required to provide Auth information"},
		{"wrong API key", "", "GET", "/api/now/table/incident", "", []string{"x-sn-apikey", "nope"}, 401, "User Not Authenticated", "Required to provide Auth information"},
		{"people cannot log in", "", "GET", "/api/now/table/incident", "", []string{"Authorization", "Basic cGVvcGxlOg=="}, 401, "User Not Authenticated", "Required to provide Auth information"},
		{"log-in comes before the table", "", "GET", "/api/now/table/nosuch", "", nil, 401, "User Not Authenticated", "Required to provide Auth information"},
		{"unknown table", "integration", "GET", "/api/now/table/nosuch", "", nil, 400, "Invalid table nosuch", ""},
		{"unknown path", "integration", "GET", "/api/now/nosuch", "", nil, 400, "Requested URI does not represent any resource", ""},
		{"outside the API", "integration", "GET", "/incident.do", "", nil, 400, "Requested URI does not represent any resource", ""},
		{"unknown record", "integration", "GET", gone, "", nil, 404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval"},
		{"there is no upsert", "integration", "PUT", gone, "{}", nil, 404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval"},
		{"deleting nothing", "closer", "DELETE", gone, "", nil, 404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval"},
		{"an empty list in v1", "integration", "GET", "/api/now/v1/table/incident", "", nil, 404, "No Record found", "Records matching query not found. Check query parameter or offset parameter"},
		{"broken JSON", "integration", "POST", "/api/now/table/incident", `{"a":`, nil, 400, "Exception while reading request", "The payload is not valid JSON"},
		{"insert without a role", "noroles", "POST", "/api/now/table/incident", "{}", nil, 403, "Operation Failed", "ACL Exception Insert Failed due to security constraints"},
		{"delete without the right", "integration", "DELETE", gone, "", nil, 403, "Operation Failed", "ACL Exception Delete Failed due to security constraints"},
		{"platform tables are for admins", "integration", "POST", "/api/now/table/sys_user", "{}", nil, 403, "Operation Failed", "ACL Exception Insert Failed due to security constraints"},
		{"a negative offset", "integration", "GET", "/api/now/table/incident?sysparm_offset=-1", "", nil, 400, "Invalid parameter", "sysparm_offset must not be negative"},
		{"a list has no PATCH", "integration", "PATCH", "/api/now/table/incident", "{}", nil, 405, "Method not supported", ""},
		{"an unknown answer format", "integration", "GET", "/api/now/table/incident", "", []string{"Accept", "text/csv"}, 406, "Requested response format is not supported", ""},
		{"an unknown request format", "integration", "POST", "/api/now/table/incident", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "Request content type is not supported", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := in.do(tt.user, tt.method, tt.target, tt.body, tt.headers...)
			detail := `"` + tt.detail + `"`
			if tt.detail == "" {
				detail = "null"
			}
			want := `{"error":{"message":"` + tt.message + `","detail":` + detail + `},"status":"failure"}`
			if a.status != tt.status || a.body != want {
				t.Errorf("%d %s\nwant %d %s", a.status, a.body, tt.status, want)
			}
		})
	}
	if a := in.do("", "GET", "/api/now/table/incident", ""); a.header.Get("WWW-Authenticate") == "" || a.header.Get("X-Is-Logged-In") != "false" {
		t.Errorf("headers of a 401: %v", a.header)
	}
	if a := in.do("integration", "GET", "/api/now/table/incident?sysparm_query=sys_idIN"+strings.Repeat("a", 8200), ""); a.status != 414 || strings.Contains(a.header.Get("Content-Type"), "json") {
		t.Errorf("a long URL: %d %v", a.status, a.header)
	}
	if a := in.do("integration", "POST", "/api/now/table/incident", `{"a":"`+strings.Repeat("x", 10<<20)+`"}`); a.status != 400 || !strings.Contains(a.body, "Rejected large REST payload") {
		t.Errorf("a large body: %d %s", a.status, a.body)
	}
}

func TestVerbs(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", map[string]string{"short_description": "x", "description": "y"})
	one := "/api/now/table/incident/" + id
	var got map[string]string
	in.result(in.do("integration", "PUT", one+"?sysparm_fields=short_description,description", `{"short_description":"z"}`), 200, &got)
	if d := cmp.Diff(map[string]string{"short_description": "z", "description": "y"}, got); d != "" {
		t.Errorf("PUT is a PATCH (-want +got):\n%s", d)
	}
	in.result(in.do("integration", "POST", one+"?sysparm_fields=description", `{"description":"over"}`, "X-HTTP-Method-Override", "PATCH"), 200, &got)
	if got["description"] != "over" {
		t.Errorf("X-HTTP-Method-Override was ignored: %v", got)
	}
	if a := in.do("integration", "PATCH", one, `{"description":"q"}`, "X-no-response-body", "true"); a.status != 204 || a.body != "" {
		t.Errorf("PATCH without a body in the answer: %d %q", a.status, a.body)
	}
	if a := in.do("integration", "POST", "/api/now/table/incident", `{}`, "X-no-response-body", "true"); a.status != 201 || a.body != "" || a.header.Get("Location") == "" {
		t.Errorf("POST without a body in the answer: %d %q %v", a.status, a.body, a.header)
	}
	if a := in.do("integration", "HEAD", "/api/now/table/incident", ""); a.status != 200 || a.body != "" || a.header.Get("X-Total-Count") != "2" {
		t.Errorf("HEAD: %d %q %v", a.status, a.body, a.header)
	}
	if a := in.do("", "GET", one+"?sysparm_fields=number", "", "x-sn-apikey", "integration-key"); a.status != 200 {
		t.Errorf("the API key: %d %s", a.status, a.body)
	}
	if a := in.do("closer", "DELETE", one, ""); a.status != 204 || a.body != "" {
		t.Errorf("DELETE: %d %q", a.status, a.body)
	}
	if in.Writes() != 5 {
		t.Errorf("%d writes counted, want 5", in.Writes())
	}
	journal := in.Journal()
	if int64(len(journal)) != in.Requests() || journal[1].Method != "PATCH" || journal[1].User != "integration" || journal[1].Body != "" || journal[0].Status != 200 {
		t.Errorf("journal: %+v", journal)
	}
}

func TestRowsAreHiddenFromUsersWithoutRoles(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	a := in.do("noroles", "GET", "/api/now/table/incident", "")
	if a.status != 200 || a.body != `{"result":[]}` || a.header.Get("X-Total-Count") != "1" {
		t.Errorf("the list of a user without roles: %d %s, total %s", a.status, a.body, a.header.Get("X-Total-Count"))
	}
	if a := in.do("noroles", "GET", "/api/now/table/incident/"+id, ""); a.status != 404 {
		t.Errorf("a record for a user without roles: %d", a.status)
	}
}

func TestHiddenDictionary(t *testing.T) {
	in := newInstance(t, sim.Options{HideDictionary: true})
	for _, tt := range []struct {
		user, target string
		status       int
		empty        bool
	}{
		{"integration", "sys_dictionary?sysparm_query=name=incident", 200, true},
		{"integration", "sys_properties", 200, true},
		{"integration", "sys_choice?sysparm_query=name=incident", 403, false},
		{"integration", "sys_choice?sysparm_query=ORDERBYsequence", 403, false},
		{"integration", "sys_db_object?sysparm_query=name=incident", 200, false},
		{"noroles", "sys_db_object", 403, false},
		{"admin", "sys_dictionary?sysparm_query=name=incident", 200, false},
	} {
		a := in.do(tt.user, "GET", "/api/now/table/"+tt.target, "")
		if a.status != tt.status || (a.body == `{"result":[]}`) != tt.empty {
			t.Errorf("%s on %s: %d %.80s", tt.user, tt.target, a.status, a.body)
		}
	}
	var rows []map[string]string
	in.result(in.do("integration", "GET", "/api/now/table/sys_choice?sysparm_limit=1", ""), 200, &rows)
	if len(rows) != 1 || len(rows[0]) != 1 || rows[0]["label"] == "" {
		t.Errorf("an unfiltered choice shows %v, want the label alone", rows)
	}
}

func TestDictionaryDescribesTheChainOfTables(t *testing.T) {
	in := newInstance(t, sim.Options{})
	if got := in.list("sys_db_object", "name=incident", "super_class.name"); len(got) != 1 || got[0] != "task" {
		t.Errorf("incident extends %v", got)
	}
	if got := in.list("sys_dictionary", "name=incident^element=caller_id", "reference"); len(got) != 1 || got[0] != "sys_user" {
		t.Errorf("caller_id points to %v", got)
	}
	if got := in.list("sys_dictionary", "name=task^element=short_description", "max_length"); len(got) != 1 || got[0] != "160" {
		t.Errorf("short_description is %v long", got)
	}
	if got := in.list("sys_dictionary", "name=incident^elementISEMPTY", "internal_type"); len(got) != 1 || got[0] != "collection" {
		t.Errorf("the table's own row is %v", got)
	}
	if got := in.list("sys_choice", "name=incident^element=state^inactive=false^language=en^ORDERBYsequence", "value"); strings.Join(got, " ") != "1 2 3 6 7 8" {
		t.Errorf("states are %v", got)
	}
}

func TestPaging(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for i := range 25 {
		in.must("incident", map[string]string{"short_description": fmt.Sprint(i)})
	}
	const query = "/api/now/table/incident?sysparm_query=active%3Dtrue%5EORDERBYsys_id&sysparm_fields=sys_id"
	a := in.do("integration", "GET", query+"&sysparm_limit=10&sysparm_offset=10", "")
	link := func(offset, rel string) string {
		return "<http://acme.example" + query + "&sysparm_offset=" + offset + `&sysparm_limit=10>;rel="` + rel + `"`
	}
	want := strings.Join([]string{link("0", "first"), link("0", "prev"), link("20", "next"), link("20", "last")}, ",")
	if got := a.header.Get("Link"); got != want || a.header.Get("X-Total-Count") != "25" {
		t.Errorf("Link\n%s, want\n%s; total %s", got, want, a.header.Get("X-Total-Count"))
	}
	for _, target := range []string{"&sysparm_limit=25", "&sysparm_limit=10&sysparm_suppress_pagination_header=true"} {
		if a := in.do("integration", "GET", query+target, ""); a.header.Get("Link") != "" || a.header.Get("X-Total-Count") != "25" {
			t.Errorf("%s: Link %q, total %s", target, a.header.Get("Link"), a.header.Get("X-Total-Count"))
		}
	}
	if a := in.do("integration", "GET", query+"&sysparm_limit=10&sysparm_no_count=true", ""); a.header.Get("X-Total-Count") != "10" {
		t.Errorf("without a count the total is %s", a.header.Get("X-Total-Count"))
	}
	seen, last := 0, ""
	for {
		cond := ""
		if last != "" {
			cond = "sys_id>" + last + "^"
		}
		var rows []map[string]string
		in.result(in.do("integration", "GET", "/api/now/table/incident?sysparm_limit=7&sysparm_fields=sys_id&sysparm_query="+cond+"ORDERBYsys_id", ""), 200, &rows)
		for _, r := range rows {
			if r["sys_id"] <= last {
				t.Fatalf("%s after %s", r["sys_id"], last)
			}
			last = r["sys_id"]
			seen++
		}
		if len(rows) < 7 {
			break
		}
	}
	if seen != 25 {
		t.Errorf("keyset paging saw %d of 25", seen)
	}
}

func TestPagingWithoutAUniqueOrderRepeatsAndSkips(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for range 40 {
		in.must("incident", nil)
	}
	seen := map[string]bool{}
	for offset := 0; offset < 40; offset += 10 {
		var rows []map[string]string
		in.result(in.do("integration", "GET", fmt.Sprintf("/api/now/table/incident?sysparm_fields=sys_id&sysparm_query=ORDERBYstate&sysparm_limit=10&sysparm_offset=%d", offset), ""), 200, &rows)
		for _, r := range rows {
			seen[r["sys_id"]] = true
		}
	}
	if len(seen) == 40 {
		t.Error("a client that pages without a unique order got away with it")
	}
}

func TestAttachments(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	target := "table_name=incident&table_sys_id=" + id
	var meta map[string]string
	a := in.do("integration", "POST", "/api/now/attachment/file?"+target+"&file_name=a.txt", "hello", "Content-Type", "text/plain")
	in.result(a, 201, &meta)
	if meta["size_bytes"] != "5" || meta["hash"] != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" || a.header.Get("Location") == "" {
		t.Errorf("metadata %v, header %v", meta, a.header)
	}
	file := in.do("integration", "GET", "/api/now/attachment/"+meta["sys_id"]+"/file", "", "Accept", "*/*")
	if file.status != 200 || file.body != "hello" || file.header.Get("Content-Type") != "text/plain" || !strings.Contains(file.header.Get("X-Attachment-Metadata"), "a.txt") {
		t.Errorf("file: %d %q %v", file.status, file.body, file.header)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_ = w.WriteField("table_name", "incident")
	_ = w.WriteField("table_sys_id", id)
	part, err := w.CreateFormFile("uploadFile", "b.bin")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write([]byte{0, 1, 2})
	_ = w.Close()
	in.result(in.do("integration", "POST", "/api/now/attachment/upload", form.String(), "Content-Type", w.FormDataContentType()), 201, &meta)
	if a := in.do("integration", "PATCH", "/api/now/attachment/"+meta["sys_id"], `{"file_name":"c.bin"}`); a.status != 204 {
		t.Errorf("rename: %d %s", a.status, a.body)
	}
	var list []map[string]string
	in.result(in.do("integration", "GET", "/api/now/attachment?sysparm_query=table_sys_id="+id+"^ORDERBYfile_name", ""), 200, &list)
	if len(list) != 2 || list[0]["file_name"] != "a.txt" || list[1]["file_name"] != "c.bin" {
		t.Errorf("list: %v", list)
	}
	if a := in.do("integration", "DELETE", "/api/now/attachment/"+meta["sys_id"], ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	for target, status := range map[string]int{
		"file?table_name=incident&table_sys_id=" + id:           400,
		"file?table_name=incident&table_sys_id=x&file_name=a":   404,
		"file?table_name=nonsense&table_sys_id=x&file_name=a.b": 404,
	} {
		if a := in.do("integration", "POST", "/api/now/attachment/"+target, "x", "Content-Type", "text/plain"); a.status != status {
			t.Errorf("%s: %d %s, want %d", target, a.status, a.body, status)
		}
	}
	if a := in.do("integration", "GET", "/api/now/v2/attachment", ""); a.status != 400 {
		t.Errorf("there is no v2: %d", a.status)
	}
}

func TestStats(t *testing.T) {
	in := zoo(t)
	var one struct {
		Stats struct {
			Count    string
			Max, Sum map[string]string
		}
	}
	in.result(in.do("integration", "GET", "/api/now/stats/incident?sysparm_count=true&sysparm_query=category%3Dnetwork&sysparm_max_fields=sys_updated_on&sysparm_sum_fields=impact", ""), 200, &one)
	if one.Stats.Count != "2" || one.Stats.Max["sys_updated_on"] != "2026-03-02 10:01:00" || one.Stats.Sum["impact"] != "3" {
		t.Errorf("stats: %+v", one)
	}
	a := in.do("integration", "GET", "/api/now/stats/incident?sysparm_count=true&sysparm_group_by=category&sysparm_query=category%3Dnetwork", "")
	if want := `{"result":[{"stats":{"count":"2"},"groupby_fields":[{"field":"category","value":"network"}]}]}`; a.body != want {
		t.Errorf("groups: %s, want %s", a.body, want)
	}
	if a := in.do("noroles", "GET", "/api/now/stats/incident?sysparm_count=true", ""); a.status != 403 {
		t.Errorf("stats without a role: %d", a.status)
	}
}

func TestAnswersOverTheWire(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for range 30 {
		in.must("incident", nil)
	}
	srv := httptest.NewServer(in)
	defer srv.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/now/table/incident", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("integration", "secret")
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Date"); got != "Mon, 02 Mar 2026 10:00:00 GMT" {
		t.Errorf("Date is %q, not the instance's", got)
	}
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Content-Type") != "application/json;charset=UTF-8" || len(resp.Cookies()) == 0 {
		t.Errorf("headers: %v", resp.Header)
	}
}

func TestSameSeedSameIDs(t *testing.T) {
	a, b, c := newInstance(t, sim.Options{Seed: 1}), newInstance(t, sim.Options{Seed: 1}), newInstance(t, sim.Options{Seed: 2})
	first := a.must("incident", nil)
	if first != b.must("incident", nil) || first == c.must("incident", nil) {
		t.Error("sys_ids do not follow the seed")
	}
}

func TestConcurrentUse(t *testing.T) {
	in := newInstance(t, sim.Options{})
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 20 {
				in.do("integration", "POST", "/api/now/table/incident", fmt.Sprintf(`{"correlation_id":"%d-%d"}`, w, i))
				in.do("integration", "GET", "/api/now/table/incident?sysparm_display_value=all&sysparm_query=ORDERBYnumber", "")
				in.do("admin", "POST", "/api/now/table/sys_choice", `{"name":"incident","element":"category","value":"x","label":"X"}`)
			}
		})
	}
	group.Wait()
	numbers := map[string]bool{}
	for _, r := range in.All("incident") {
		numbers[r["number"]] = true
	}
	if len(numbers) != 160 || in.Requests() != 480 || in.Writes() != 320 {
		t.Errorf("%d numbers, %d requests, %d writes", len(numbers), in.Requests(), in.Writes())
	}
}

// BenchmarkKeysetPage reads one page of 200 out of the middle of a large table, in a window as a sync asks for.
func BenchmarkKeysetPage(b *testing.B) {
	s := sim.New(sim.Options{})
	for range 100_000 {
		s.Insert("incident", map[string]string{"short_description": "x"})
	}
	for b.Loop() {
		r := httptest.NewRequest("GET", "/api/now/table/incident?sysparm_limit=200&sysparm_fields=sys_id,number,state,sys_updated_on&sysparm_query=sys_updated_on>=2020-01-01%2000:00:00^sys_id>80^ORDERBYsys_id", nil)
		r.SetBasicAuth("integration", "secret")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
