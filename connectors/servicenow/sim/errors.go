package sim

import (
	"fmt"
	"net/http"
)

// A failure is an error answer in the platform's envelope. An empty detail is null.
type failure struct {
	status          int
	message, detail string
}

var (
	unauthenticated = &failure{http.StatusUnauthorized, "User Not Authenticated", "Required to provide Auth information"}
	noResource      = &failure{http.StatusBadRequest, "Requested URI does not represent any resource", ""}
	noRecord        = &failure{http.StatusNotFound, "No Record found", "Record doesn't exist or ACL restricts the record retrieval"}
	noMatch         = &failure{http.StatusNotFound, "No Record found", "Records matching query not found. Check query parameter or offset parameter"}
	queryDenied     = &failure{http.StatusForbidden, "Insufficient rights to query records", "Field(s) present in the query do not have permission to be read"}
	wrongMethod     = &failure{http.StatusMethodNotAllowed, "Method not supported", ""}
	wrongAccept     = &failure{http.StatusNotAcceptable, "Requested response format is not supported", ""}
	wrongType       = &failure{http.StatusUnsupportedMediaType, "Request content type is not supported", ""}
	noTransform     = &failure{http.StatusInternalServerError, "java.lang.NullPointerException: null value in entry: transform_map=null", ""}
	negativeOffset  = &failure{http.StatusBadRequest, "Invalid parameter", "sysparm_offset must not be negative"}
)

func denied(verb string) *failure {
	return &failure{http.StatusForbidden, "Operation Failed", "ACL Exception " + verb + " Failed due to security constraints"}
}

func policy(labels string) *failure {
	return &failure{http.StatusForbidden, "Operation Failed", "Data Policy Exception: The following fields are mandatory: " + labels}
}

func duplicate(t *table, id string) *failure {
	return &failure{http.StatusForbidden, "Operation Failed", fmt.Sprintf("Error during insert of %s: Unique Key violation detected by database (Duplicate entry '%s' for key 'PRIMARY')", t.name, id)}
}

func noTable(name string) *failure {
	return &failure{http.StatusBadRequest, "Invalid table " + name, ""}
}

func tooLarge(n, most int64) *failure {
	return unreadable(fmt.Sprintf("Rejected large REST payload with content-length = %d bytes. Max allowed: %d bytes.", n, most))
}

// abort is what a business rule answers with setAbortAction.
func abort(t *table) *failure {
	const rule = "Not like this"
	return &failure{http.StatusForbidden, "Operation Failed", fmt.Sprintf("Operation against file '%s' was aborted by Business Rule '%s^5f9a3d1e1b2310107a1c43f1604bcb61'. Business Rule Stack:%s", t.name, rule, rule)}
}

func rateExceeded(limit int) *failure {
	return &failure{http.StatusTooManyRequests, "Rate limit exceeded", fmt.Sprintf("Rate limit of %d requests per hour for Table API exceeded", limit)}
}

func unreadable(detail string) *failure {
	return &failure{http.StatusBadRequest, "Exception while reading request", detail}
}

func missing(parameter string) *failure {
	return &failure{http.StatusBadRequest, "Missing parameter", "Parameter " + parameter + " is required"}
}

func failed(f *failure) reply {
	b := append([]byte(`{"error":{"message":`), quote(nil, f.message)...)
	b = append(b, `,"detail":`...)
	if f.detail == "" {
		b = append(b, "null"...)
	} else {
		b = quote(b, f.detail)
	}
	return reply{status: f.status, header: http.Header{}, body: append(b, `},"status":"failure"}`...), fail: f}
}
