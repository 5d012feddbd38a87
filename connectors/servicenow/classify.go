package servicenow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/connectors"
)

// errCut is the cause of failures that a smaller page may avoid: the instance gave up while it was answering,
// or the answer did not arrive whole.
var errCut = errors.New("the answer was cut off")

// errNoTable is the cause of ErrConfig where the table is what is wrong.
var errNoTable = errors.New("no such table")

// complaint is the error envelope: {"error":{"message":…,"detail":…},"status":"failure"}.
type complaint struct{ message, detail string }

func (m complaint) String() string {
	switch {
	case m.detail == "" || m.detail == m.message:
		return shorten(m.message)
	case m.message == "":
		return shorten(m.detail)
	}
	return shorten(m.message + ": " + m.detail)
}

func (m complaint) has(s string) bool {
	return strings.Contains(m.message, s) || strings.Contains(m.detail, s)
}

// complained reads the envelope, also where proxies or scripts put plain text into "error".
func complained(body []byte) complaint {
	v, err := fastjson.ParseBytes(body)
	if err != nil {
		return complaint{}
	}
	return complaintOf(v.Get("error"))
}

func complaintOf(v *fastjson.Value) complaint {
	if v == nil {
		return complaint{}
	}
	if v.Type() == fastjson.TypeString {
		return complaint{message: string(v.GetStringBytes())}
	}
	return complaint{message: string(v.GetStringBytes("message")), detail: string(v.GetStringBytes("detail"))}
}

// classify says what is wrong with an answer, or nil when its status and the look of its body are those of a
// success. Status alone is never enough, see the error responses of the REST API documentation and KB0778443.
func (c *client) classify(cl *call, a *answer) error {
	page := html(a)
	if !page && (a.status == http.StatusOK || a.status == http.StatusCreated) {
		return nil
	}
	e := &connectors.Error{Op: cl.op}
	m := complained(a.body)
	if e.Detail = m.String(); e.Detail == "" {
		e.Detail = fmt.Sprintf("HTTP %d %s", a.status, http.StatusText(a.status))
		if t := title(a.body); page && t != "" {
			e.Detail += ", a web page titled " + strconv.Quote(t)
		}
	}
	switch a.status {
	case http.StatusOK, http.StatusCreated:
		c.webPage(cl, a, e)
	case http.StatusNoContent:
		if cl.write() {
			return nil
		}
		e.Kind = connectors.ErrProtocol
	case http.StatusAccepted:
		// Requests that share a session are refused with 202 and no content once ten of them wait (KB0564204).
		e.Kind, e.Detail = connectors.ErrBusy, "HTTP 202 without a result: the session is busy"
		e.Hint = "too many requests wait on one session; lower limits.concurrency"
		if cl.write() {
			e.Kind = connectors.ErrOutcome
		}
	case http.StatusBadRequest:
		badRequest(cl, m, e)
	case http.StatusUnauthorized:
		c.unauthorized(a, e)
	case http.StatusForbidden:
		forbidden(cl, a, m, e)
	case http.StatusNotFound:
		if m.has("Records matching query not found") {
			// v1 says so of an empty list (KB0551763).
			a.status, a.body = http.StatusOK, []byte(`{"result":[]}`)
			return nil
		}
		// Texts come in the language of the account. What remains is where they stand: an address that leads nowhere
		// has no detail, a record that is not there and an empty list of v1 have one.
		if cl.key == "" && !cl.write() && c.addr.version == "v1" && m.detail != "" {
			a.status, a.body = http.StatusOK, []byte(`{"result":[]}`)
			return nil
		}
		if m.has("No Record found") || m.has("Record doesn't exist") || cl.key != "" && m.message != "" && m.detail != "" {
			e.Kind, e.Hint = connectors.ErrNotFound, "the record was deleted, or this user may not see it"
			break
		}
		badRequest(cl, m, e)
	case http.StatusRequestURITooLong:
		e.Kind, e.Detail = connectors.ErrConfig, "the address is too long for the instance"
		e.Hint = "shorten the query, or name fewer fields"
	case http.StatusTooManyRequests:
		tooMany(a, m, e, c.now())
	case http.StatusRequestTimeout:
		c.failed(cl, a, m, e)
	default:
		switch {
		case a.status >= 500 && a.status != http.StatusNotImplemented:
			c.failed(cl, a, m, e)
		case a.status >= 300 && a.status < 400:
			c.redirected(a, e)
		default:
			e.Kind, e.Hint = connectors.ErrRefused, "the instance does not accept this kind of request; check that url is the instance itself and no other service"
		}
	}
	return e
}

func badRequest(cl *call, m complaint, e *connectors.Error) {
	switch {
	case m.has("Invalid table") || m.has("Table "+cl.table+" does not exist") || strings.HasSuffix(m.message, " "+cl.table) && m.detail == "":
		e.Kind, e.Err, e.Hint = connectors.ErrConfig, errNoTable, fmt.Sprintf("there is no table %q; write its name as in sys_db_object, not its label", cl.table)
	case m.has("does not represent any resource"):
		e.Kind, e.Hint = connectors.ErrConfig, "there is no Table API at this address; write the address of the instance alone, without a path, and check that its REST API plugin is active"
	case m.has("Rejected large REST payload"):
		e.Kind, e.Hint = connectors.ErrRefused, "the record is larger than the instance takes (glide.rest.max_content_length, 10 MB if not set)"
	case m.has("Exception while reading request"):
		e.Kind, e.Hint = connectors.ErrRefused, "the instance could not read the values of this record; look for unusual characters in them"
	case m == complaint{} || e.Detail == "":
		e.Kind, e.Hint = connectors.ErrConfig, "no ServiceNow instance answers like this; check url"
	default:
		e.Kind = connectors.ErrRefused
	}
}

func (c *client) unauthorized(a *answer, e *connectors.Error) {
	e.Kind = connectors.ErrAuth
	switch {
	case a.header.Get("X-MFA_TOKEN") != "":
		e.Detail = "the password is right, but the account asks for a second factor"
		e.Hint = "use an account without multi-factor authentication: make one for fieldsync with identity type Machine (Web service access only)"
	case c.auth.Kind == "api_key":
		e.Hint = "check the key; then, on the instance, that it is active and not expired, that its user is active, that an inbound authentication profile" +
			" reads the header x-sn-apikey, and that a REST API access policy for the Table API names that profile"
	case c.auth.Kind == "oauth":
		e.Hint = "the token endpoint gives a token and the API refuses it: check that url and token_url are of the same instance, that the token's user is active and" +
			" not locked, and that no REST API access policy keeps OAuth out"
	default:
		e.Hint = fmt.Sprintf("check username %q and its password; the same answer is given when the account is locked, inactive or must change its password."+
			" From release Zurich on, instances refuse basic log-in of interactive accounts although the password is right: mark the account Web service access"+
			" only (identity type Machine), or give it the role snc_basic_auth_api_access; the system log then names SNCRestrictBasicAuthUserAuthenticationGate", c.auth.Username)
	}
}

var (
	mandatoryMany = regexp.MustCompile(`(?i)fields? (?:is|are) mandatory:\s*(.+)$`)
	mandatoryOne  = regexp.MustCompile(`(?i)Data Policy Exception:\s*(.+?) is mandatory`)
	readOnlyMany  = regexp.MustCompile(`(?i)fields? (?:is|are) read[- ]?only:\s*(.+)$`)
	abortedBy     = regexp.MustCompile(`aborted by Business Rule '([^'^]*)|'([^'^]+)\^[0-9a-f]{32}'`)
	// The form of the first in other languages: two texts, then labels.
	mandatoryIn = regexp.MustCompile(`^[^:]+:[^:]+:\s*([^:]+)$`)
)

func forbidden(cl *call, a *answer, m complaint, e *connectors.Error) {
	switch {
	case m.has("Data Policy Exception"), cl.write() && !m.has("ACL") && mandatoryIn.MatchString(m.detail) && !abortedBy.MatchString(m.detail):
		e.Kind = connectors.ErrRefused
		for _, re := range []*regexp.Regexp{mandatoryMany, mandatoryOne, readOnlyMany, mandatoryIn} {
			if f := re.FindStringSubmatch(m.detail); f != nil {
				for s := range strings.SplitSeq(f[1], ",") {
					e.Fields = append(e.Fields, strings.Trim(s, " .\n"))
				}
				break
			}
		}
		e.Hint = "a data policy of the instance decides which fields must be set (names are labels in the user's language); map them, in the same write"
	case abortedBy.MatchString(m.detail):
		found := abortedBy.FindStringSubmatch(m.detail)
		rule := cmp.Or(found[1], found[2])
		e.Kind = connectors.ErrRefused
		e.Hint = fmt.Sprintf("the business rule %q of the instance stopped the write; its reason is not sent, read the rule's script", rule)
	case m.has("API level ACL"):
		e.Kind = connectors.ErrDenied
		e.Hint = "the instance protects its REST API: give the user the role snc_platform_rest_api_access (and snc_internal where explicit roles are on)"
	case m.has("permission to be read") || m.has("Insufficient rights to query"):
		e.Kind, e.Fields = connectors.ErrDenied, cl.queried
		e.Hint = "the query names a field that this user may not read, or not compare or sort by (query ACL)"
		if len(cl.queried) > 0 {
			e.Hint += "; it names " + strings.Join(cl.queried, ", ")
		} else {
			e.Hint += ", or the user may not read the table at all; " + roleFor(cl.table)
		}
	case m.has("ACL Exception") || m.has("security constraints") || cl.write() && m.has("ACL"):
		e.Kind = connectors.ErrDenied
		e.Hint = "this user may not " + verb(cl.method) + " this record; " + roleFor(cl.table)
		if cl.method == http.MethodPatch {
			e.Hint += ". A closed or cancelled task is read only for all but administrators"
		}
	case m == complaint{} || html(a):
		e.Kind = connectors.ErrDenied
		e.Hint = "an answer without the instance's own message usually comes from its IP address access control or from a proxy; allow the address of this machine"
	default:
		e.Kind, e.Fields = connectors.ErrDenied, cl.queried
		e.Hint = "this user has no rights for it; " + roleFor(cl.table)
		if len(cl.queried) > 0 {
			e.Hint += "; or the query names a field that it may not search: it names " + strings.Join(cl.queried, ", ")
		}
	}
}

func verb(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPatch:
		return "change"
	case http.MethodDelete:
		return "delete"
	}
	return "read"
}

func roleFor(table string) string {
	switch table {
	case "incident":
		return "give it the role itil, or sn_incident_read and sn_incident_write (closing and deleting need itil_admin)"
	case "sys_dictionary", "sys_db_object", "sys_choice":
		return "give it the role personalize_dictionary, or a read rule on " + table
	}
	return "give it a role that may, as the access control rules of " + table + " say"
}

// tooMany tells a rate rule, which says when it opens again, from a full queue, which empties in moments
// (inbound REST API rate limiting; KB0564204).
func tooMany(a *answer, m complaint, e *connectors.Error, now time.Time) {
	e.Kind = connectors.ErrBusy
	e.RetryAfter = retryAfter(a.header, now)
	if m.has("Rate limit") || a.header.Get("X-RateLimit-Limit") != "" {
		e.Hint = "a rate limit rule of the instance counts this user's requests an hour"
		if l := a.header.Get("X-RateLimit-Limit"); l != "" {
			e.Hint += " (" + l + ")"
		}
		e.Hint += "; lower limits.rate or the schedule, or ask for a higher limit"
		return
	}
	e.Detail = "too many requests wait on the instance"
	e.Hint = "lower limits.concurrency; a node serves four integration requests at a time for everybody"
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	s := h.Get("Retry-After")
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	if n, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		return max(time.Unix(n, 0).Sub(now), 0)
	}
	return 0
}

// failed is a server error: nothing was lost by a read; a write may have been committed before it.
func (c *client) failed(cl *call, a *answer, m complaint, e *connectors.Error) {
	e.Kind = connectors.ErrBusy
	e.RetryAfter = retryAfter(a.header, c.now())
	e.Hint = "the instance or the way to it has trouble, or is being upgraded"
	if m.has("maximum execution time exceeded") {
		e.Hint = "the instance stops requests after a minute: make the query cheaper or page_size smaller"
		e.Err = errCut
	}
	if a.status == http.StatusInternalServerError && m.detail != "" {
		e.Err = errCut // the same in another language, perhaps: a smaller page is worth a try
	}
	if cl.write() {
		e.Kind = connectors.ErrOutcome
	}
	if cl.api == "import" && m.has("transform_map=null") {
		// The row is in the staging table and no map has run (KB0791757).
		e.Kind, e.Err = connectors.ErrDenied, nil
		e.Hint = "give the user the role import_transformer (or import_admin): without it rows are staged and not transformed"
	}
}

func (c *client) redirected(a *answer, e *connectors.Error) {
	to := a.header.Get("Location")
	at, _, _ := strings.Cut(to, "?")
	low := strings.ToLower(at)
	for _, s := range []string{"login", "saml", "sso", "auth", "welcome", "navpage"} {
		if strings.Contains(low, s) {
			e.Kind, e.Detail = connectors.ErrAuth, "the instance sends to a log-in page"
			e.Hint = "requests to this address are not authenticated as REST requests; write the address of the instance itself in url"
			return
		}
	}
	e.Kind, e.Detail = connectors.ErrConfig, "the address is redirected to "+shorten(at)
	e.Hint = "write the new address in url; redirects are not followed, they would carry the credentials along"
}

// webPage is a success status with HTML where JSON was expected.
func (c *client) webPage(cl *call, a *answer, e *connectors.Error) {
	low := bytes.ToLower(a.body)
	switch {
	case bytes.Contains(low, []byte("hibernating")):
		e.Kind, e.Detail = connectors.ErrBusy, "the instance is hibernating"
		e.Hint = "developer instances sleep when unused: wake it by logging in at developer.servicenow.com, then wait some minutes"
	case bytes.Contains(low, []byte("user_password")) || bytes.Contains(low, []byte("sysparm_login")) || bytes.Contains(low, []byte("log in")) ||
		bytes.Contains(low, []byte("saml")) || bytes.Contains(low, []byte("single sign")):
		e.Kind, e.Detail = connectors.ErrAuth, "the answer is a log-in page"
		e.Hint = "requests to this address are not authenticated as REST requests; write the address of the instance itself in url"
	case cl.write():
		e.Kind, e.Hint = connectors.ErrOutcome, "something between here and the instance answers with web pages; check url and proxies"
	default:
		e.Kind, e.Hint = connectors.ErrProtocol, "something between here and the instance answers with web pages; check url and proxies"
	}
}

// distrust is a success whose content cannot be believed: nothing of a read is used, and a write may have happened.
func (c *client) distrust(cl *call, detail string, cause error) error {
	e := &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: detail, Err: cause,
		Hint: "nothing of it is used; run again, and if it stays, look at the instance's log and at proxies in between"}
	if cause != nil && !errors.Is(cause, errCut) {
		e.Err = errors.Join(errCut, cause)
	}
	if cl.write() {
		e.Kind = connectors.ErrOutcome
	}
	return e
}

func html(a *answer) bool {
	if strings.Contains(a.header.Get("Content-Type"), "html") {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(a.body[:min(len(a.body), 256)]), []byte("<"))
}

var titleTag = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

func title(body []byte) string {
	m := titleTag.FindSubmatch(body[:min(len(body), 64<<10)])
	if m == nil {
		return ""
	}
	return shorten(strings.Join(strings.Fields(string(m[1])), " "))
}

// shorten keeps messages on one screen.
func shorten(s string) string {
	const limit = 300
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
