package sim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// A batch is what came of one.
type batch struct {
	ID       string `json:"batch_request_id"`
	Serviced []struct {
		ID     string `json:"id"`
		Status int    `json:"status_code"`
		Body   []byte `json:"body"`
	} `json:"serviced_requests"`
	Unserviced []string `json:"unserviced_requests"`
}

func (in *instance) batch(requests ...string) (answer, batch) {
	in.t.Helper()
	a := in.do("integration", "POST", "/api/now/v1/batch", `{"batch_request_id":7,"rest_requests":[`+strings.Join(requests, ",")+`]}`, "Content-Type", "application/json")
	var b batch
	if a.status == 200 {
		if err := json.Unmarshal([]byte(a.body), &b); err != nil {
			in.t.Fatalf("%v\n%s", err, a.body)
		}
	}
	return a, b
}

func batched(id, method, target, body string) string {
	return fmt.Sprintf(`{"id":%q,"method":%q,"url":%q,"headers":[{"name":"Content-Type","value":"application/json"}],"body":%q}`, id, method, target, base64.StdEncoding.EncodeToString([]byte(body)))
}

func TestABatchIsNotAtomic(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.must("incident", nil)
	a, b := in.batch(
		batched("a", "PATCH", incidents+"/"+id, `{"short_description":"one"}`),
		batched("b", "PATCH", incidents+"/"+id, `{"state":"6"}`),
		batched("c", "GET", incidents+"/"+id+"?sysparm_fields=short_description", ""),
		batched("d", "POST", "/api/now/v1/batch", `{}`),
		batched("e", "DELETE", incidents+"/"+id, ""),
	)
	if a.status != 200 || b.ID != "7" || len(b.Unserviced) != 0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var got []string
	for _, s := range b.Serviced {
		got = append(got, fmt.Sprint(s.ID, s.Status))
	}
	if d := cmp.Diff([]string{"a200", "b403", "c200", "d400", "e403"}, got); d != "" {
		t.Error(d)
	}
	if body := string(b.Serviced[2].Body); body != `{"result":{"short_description":"one"}}` || !strings.Contains(string(b.Serviced[1].Body), "Data Policy") {
		t.Errorf("%s", body)
	}
	if in.Get("incident", id)["short_description"] != "one" || in.Writes() != 1 {
		t.Errorf("%d writes", in.Writes())
	}
	if a := in.do("integration", "POST", "/api/now/batch", `{}`, "Content-Type", "application/json"); a.status != 400 {
		t.Errorf("without a version: %d", a.status)
	}
	if a := in.do("", "POST", "/api/now/v1/batch", `{}`, "Content-Type", "application/json"); a.status != 401 {
		t.Errorf("without a log-in: %d", a.status)
	}
}

func TestABatchRunsOutOfTime(t *testing.T) {
	in := newInstance(t, sim.Options{})
	create := func(n string) string { return batched(n, "POST", incidents, `{"correlation_id":"`+n+`"}`) }
	in.turn("batch-budget=1")
	if _, b := in.batch(create("a"), create("b"), create("c")); len(b.Serviced) != 1 || strings.Join(b.Unserviced, "") != "bc" || len(in.All("incident")) != 1 {
		t.Errorf("within its budget: %+v", b)
	}
	in.turn("batch-budget=0")
	in.fault("batch-cut:batch")
	if _, b := in.batch(create("d"), create("e"), create("f")); len(b.Serviced) != 1 || strings.Join(b.Unserviced, "") != "ef" {
		t.Errorf("cut: %+v", b)
	}
	if len(in.Find("incident", "correlation_id", "e")) != 1 || len(in.Find("incident", "correlation_id", "f")) != 0 {
		t.Error("the request that ran at the cut has no effect, or the one after it has")
	}
	in.Calm()
	in.fault("500-after:POST incident:n=1")
	if _, b := in.batch(create("g"), create("h")); b.Serviced[0].Status != 500 || b.Serviced[1].Status != 201 || len(in.Find("incident", "correlation_id", "g")) != 1 {
		t.Errorf("a fault of one request: %+v", b)
	}
}
