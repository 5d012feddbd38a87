package sim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A batched is one request of a batch.
type batched struct {
	ID      string `json:"id"`
	Method  string `json:"method"`
	URL     string `json:"url"`
	Body    string `json:"body"`
	Headers []struct{ Name, Value string }
}

// batchAPI answers requests one after another, without a way back: each has its effect whatever becomes of the others.
// What the time of the batch is over for is listed as not serviced. Where a fault cuts it, one more has had its effect.
func (s *Server) batchAPI(c *call) reply {
	if fail := c.formats(); fail != nil {
		return failed(fail)
	}
	if c.method != http.MethodPost {
		return failed(wrongMethod)
	}
	var sent struct {
		ID       any       `json:"batch_request_id"`
		Requests []batched `json:"rest_requests"`
	}
	if err := json.Unmarshal(c.body, &sent); err != nil {
		return failed(unreadable("The payload is not valid JSON"))
	}
	budget := len(sent.Requests)
	if n := s.on().BatchBudget; n > 0 {
		budget = min(budget, n)
	}
	if c.cut {
		budget = min(budget, len(sent.Requests)/2)
	}
	id, _ := sent.ID.(string)
	if n, ok := sent.ID.(float64); ok {
		id = strconv.FormatFloat(n, 'f', -1, 64)
	}
	b := append(quote([]byte(`{"batch_request_id":`), id), `,"serviced_requests":[`...)
	for i, r := range sent.Requests[:budget] {
		out, ok := s.item(c, r)
		if !ok {
			return reply{} // the connection of the whole batch
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(append(b, `{"id":`...), r.ID)
		b = strconv.AppendInt(append(b, `,"status_code":`...), int64(out.status), 10)
		b = quote(append(b, `,"status_text":`...), http.StatusText(out.status))
		b = quote(append(b, `,"body":`...), base64.StdEncoding.EncodeToString(out.body))
		b = append(b, `,"headers":[],"execution_time":1}`...)
	}
	b = append(b, `],"unserviced_requests":[`...)
	for i, r := range sent.Requests[budget:] {
		if i == 0 && c.cut {
			s.item(c, r) // it ran when the time was over, and nobody is told
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(b, r.ID)
	}
	return reply{status: http.StatusOK, header: http.Header{}, body: append(b, "]}"...)}
}

// item answers one request of a batch as its user; false where the connection breaks.
func (s *Server) item(c *call, r batched) (reply, bool) {
	u, err := url.ParseRequestURI(r.URL)
	body, berr := base64.StdEncoding.DecodeString(r.Body)
	if err != nil || berr != nil || u.IsAbs() {
		return failed(noResource), true
	}
	sub := c.Clone(c.Context())
	sub.URL, sub.RequestURI, sub.Method = u, r.URL, strings.ToUpper(r.Method)
	sub.Body, sub.ContentLength = http.NoBody, int64(len(body))
	sub.Header = http.Header{}
	for _, h := range r.Headers {
		sub.Header.Set(h.Name, h.Value)
	}
	in := &call{Request: sub, method: sub.Method, user: c.user, params: readParams(u.RawQuery), batched: body}
	in.locate()
	if len(in.path) > 0 && in.path[0] == "batch" {
		return failed(noResource), true
	}
	if f := s.struck(in); f != nil {
		return s.suffer(in, f)
	}
	return s.effect(in), true
}
