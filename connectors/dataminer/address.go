package dataminer

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// The paths under which an Agent serves its two interfaces. The web server does not care for case.
const (
	webPath    = "/API/v1/Json.asmx"
	bridgePath = "/api/custom"
)

// webRoot is the address of the Web Services, from what operators paste: the host, with or without port, the start page,
// the address of a web app, of the interface, of its description or of one of its methods.
func webRoot(raw string, insecure bool) (string, error) {
	u, err := parse("url", raw, insecure)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.Path, "/")
	lower := strings.ToLower(path)
	// A reverse proxy may put a prefix in front; what follows is known.
	for _, known := range []string{"/api", "/root", "/monitoring", "/dashboard", "/dashboards", "/jobs", "/ticketing", "/auth", "/app", "/apps"} {
		if at := strings.Index(lower+"/", known+"/"); at >= 0 {
			path = path[:at]
			break
		}
	}
	return u.Scheme + "://" + u.Host + path + webPath, nil
}

// bridgeRoot is the address in front of /fieldsync: an address with a path is taken as it is, for systems behind a proxy or
// others that speak the bridge's protocol.
func bridgeRoot(raw string, insecure bool) (string, error) {
	u, err := parse("url of the bridge", raw, insecure)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.Path, "/")
	if lower := strings.ToLower(path); path == "" || strings.HasPrefix(lower, "/api/v1") || lower == "/api" {
		path = bridgePath
	}
	path = strings.TrimSuffix(path, "/fieldsync")
	return u.Scheme + "://" + u.Host + path, nil
}

// parse reads an address or a host. The messages never repeat it: it may hold a password.
func parse(what, raw string, insecure bool) (*url.URL, error) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return nil, settingsError(what+" is empty", `write url = "https://dma.example.net"`)
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, settingsError(what+" is not an address", `write the host, or the whole address: url = "https://dma.example.net"`)
	case u.User != nil:
		return nil, settingsError(what+" holds a user name", "take it out and write it in the auth block")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, settingsError(fmt.Sprintf("%s has the scheme %q", what, u.Scheme), "write https://")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return nil, settingsError(what+" would send the log-in unencrypted to "+u.Host, "write https://, or insecure_http = true if the network in between is trusted")
	case u.RawQuery != "" && !strings.EqualFold(u.RawQuery, "wsdl"), u.Fragment != "" && !strings.HasPrefix(u.Fragment, "/"):
		return nil, settingsError(what+" holds a query", "write the address alone")
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":443")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func hostOf(root string) string {
	_, rest, _ := strings.Cut(root, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
