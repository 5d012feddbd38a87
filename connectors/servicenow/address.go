package servicenow

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// An address is where the Table API of an instance is.
type address struct {
	root    string // scheme, host and path prefix, without a slash at the end
	version string // "", "v1" or "v2": as the operator wrote it
	table   string // the table that the operator's address names; ""
}

var (
	tableName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	instanceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)
	apiVersion   = regexp.MustCompile(`^v[0-9]+$`)
	// The address bar of the classic interface: incident_list.do, incident.do?sys_id=…
	listPage = regexp.MustCompile(`^([a-z][a-z0-9_]*?)(_list)?\.do$`)
)

// parseAddress understands what operators paste: the instance's name, its host, its home page, the API with or
// without a version, a whole table address, a list in the browser. Reverse proxies may put a prefix before /api.
func parseAddress(raw string, insecure bool) (address, error) {
	s := strings.TrimSpace(raw)
	switch {
	case s == "":
		return address{}, settingsError("url is empty", `write url = "https://acme.service-now.com"`)
	case instanceName.MatchString(s) && !strings.EqualFold(s, "localhost"):
		s = "https://" + strings.ToLower(s) + ".service-now.com"
	case !strings.Contains(s, "://"):
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		// The text of a url error repeats the address, which may hold a password.
		return address{}, settingsError("url cannot be read", `write url = "https://acme.service-now.com"`)
	}
	switch {
	case u.User != nil:
		return address{}, settingsError("url holds credentials", "take user and password out of the url and write them in the auth block")
	case u.Scheme != "http" && u.Scheme != "https":
		return address{}, settingsError(fmt.Sprintf("url has the scheme %q", u.Scheme), "write https://")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return address{}, settingsError("url would send the credentials unencrypted to "+u.Host,
			"write https://, or insecure_http = true if the network in between is trusted")
	case u.Query().Get("sysparm_query") != "":
		return address{}, settingsError("url holds a query", "take ?sysparm_query=… out of the url and write it as query in the side block")
	}
	a := address{}
	prefix, err := a.split(u)
	if err != nil {
		return address{}, err
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	a.root = u.Scheme + "://" + host
	for _, p := range prefix {
		a.root += "/" + url.PathEscape(p)
	}
	return a, nil
}

// split finds table and version in u's path and returns the segments before them.
func (a *address) split(u *url.URL) ([]string, error) {
	var segs []string
	for s := range strings.SplitSeq(u.Path, "/") {
		if s != "" {
			segs = append(segs, s)
		}
	}
	for i := range len(segs) {
		if segs[i] == "api" && (i+1 == len(segs) || segs[i+1] == "now") {
			return segs[:i], a.rest(segs[min(i+2, len(segs)):])
		}
		// Both interfaces name the list that is open somewhere in what follows; it is a convenience, not a promise.
		if (segs[i] == "now" && i+1 < len(segs) && (segs[i+1] == "nav" || segs[i+1] == "workspace")) || segs[i] == "nav_to.do" || segs[i] == "navpage.do" {
			tail, _ := url.QueryUnescape(strings.Join(segs[i:], "/") + "/" + u.Query().Get("uri"))
			for s := range strings.FieldsFuncSeq(tail, func(r rune) bool { return r == '/' || r == '?' }) {
				if m := listPage.FindStringSubmatch(s); m != nil && m[1] != "nav_to" && m[1] != "navpage" {
					a.table = m[1]
				}
			}
			return segs[:i], nil
		}
		if m := listPage.FindStringSubmatch(segs[i]); m != nil && i+1 == len(segs) {
			if m[2] != "" {
				a.table = m[1]
			}
			return segs[:i], nil
		}
	}
	return segs, nil
}

// rest reads what follows /api/now.
func (a *address) rest(segs []string) error {
	if len(segs) > 0 && apiVersion.MatchString(segs[0]) {
		a.version, segs = segs[0], segs[1:]
	}
	if len(segs) == 0 {
		return nil
	}
	if segs[0] != "table" {
		return settingsError(fmt.Sprintf("url leads to the %s API", segs[0]), "this connector speaks the Table API: write the instance alone, or …/api/now/table/incident")
	}
	if len(segs) > 1 {
		if !tableName.MatchString(segs[1]) {
			return settingsError(fmt.Sprintf("url names the table %q", segs[1]), "write the name of the table, such as incident")
		}
		a.table = segs[1]
	}
	return nil
}

func loopback(host string) bool {
	if h := strings.ToLower(host); h == "localhost" || strings.HasSuffix(h, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// at is the address of a table, or of one record of it, in the Table API or in another one that has tables.
func (a address) at(api, table, key string) string {
	s := a.root + "/api/now"
	if a.version != "" && api == "" {
		s += "/" + a.version // the other APIs have versions of their own
	}
	s += "/" + cmp.Or(api, "table") + "/" + table
	if key != "" {
		s += "/" + url.PathEscape(key)
	}
	return s
}
