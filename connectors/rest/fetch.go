package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// isPage tells a page that something on the way sent with a 200 from a file that is one.
func isPage(res *http.Response) bool {
	return strings.Contains(res.Header.Get("Content-Type"), "html") && res.Header.Get("Content-Disposition") == ""
}

// longestFault is more than any error that a tool reports in JSON.
const longestFault = 64 << 10

// opened hands on the content of a file, unless it is an error that the tool reports behind a success.
func (c *client) opened(cl *call, res *http.Response) (*answer, error) {
	a := &answer{status: res.StatusCode, header: res.Header, stream: res.Body}
	if c.tool.failed == nil && c.tool.missing == nil || !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return a, nil
	}
	begun, err := io.ReadAll(io.LimitReader(res.Body, longestFault))
	a.stream = resumed{io.MultiReader(bytes.NewReader(begun), res.Body), res.Body}
	if err != nil || len(begun) == longestFault || a.decode(begun) != nil {
		return a, nil // a file; where it was cut off, reading on says so
	}
	fault := c.hidden(cl, a)
	if e := c.told(cl, a); e != nil {
		fault = e
	}
	a.body = nil
	if fault != nil {
		res.Body.Close()
		return nil, fault
	}
	return a, nil
}

// resumed is a content of which the beginning has been read already.
type resumed struct {
	io.Reader
	io.Closer
}

// leads is where a redirect leads; nil where an answer is none.
func leads(res *http.Response) *url.URL {
	if res.StatusCode < 300 || res.StatusCode >= 400 {
		return nil
	}
	to, err := res.Location()
	if err != nil {
		return nil
	}
	return to
}

// hops is how many servers may send us on to the next one.
const hops = 3

// fetch asks another server than the tool's own for the content of a file, which tools keep in stores with signed
// addresses. It gets no credentials, no cookies and no headers of ours, and is no place inside the network that we are in
// unless the tool is there itself: an address in an answer must not be a way to reach what the tool cannot.
func (c *client) fetch(ctx context.Context, cl *call, to *url.URL) (*answer, error) {
	bad := func(kind error, detail, hint string) (*answer, error) {
		return nil, &connectors.Error{Kind: kind, Op: cl.op, Detail: detail, Hint: hint}
	}
	for range hops {
		ip, home := net.ParseIP(to.Hostname()), loopback(c.root.Hostname())
		inside := ip != nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) || to.Hostname() == "localhost"
		if to.Scheme != "https" && (to.Scheme != "http" || !home) || to.User != nil || inside && !home {
			return bad(connectors.ErrProtocol, "the tool says that the file is at "+to.Scheme+"://"+to.Host, "files are fetched over https, and from no server inside the own network; take elsewhere out of the open block if the tool delivers its files itself")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
		if err != nil {
			return bad(connectors.ErrProtocol, "the address of the file cannot be requested", "")
		}
		req.Header.Set("Accept", "*/*")
		req.Header.Set("User-Agent", "fieldsync")
		res, err := c.http.Do(req)
		if next, ok := errors.AsType[*connectors.Elsewhere](err); ok {
			to = next.At
			continue
		}
		if err != nil {
			return nil, c.unsent(ctx, cl, err)
		}
		c.log.Debug("request", "op", cl.op, "method", req.Method, "host", to.Host, "status", res.StatusCode)
		if res.StatusCode == http.StatusOK && !isPage(res) {
			return &answer{status: res.StatusCode, header: res.Header, stream: res.Body}, nil
		}
		res.Body.Close()
		next := leads(res)
		switch {
		case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
			return bad(connectors.ErrNotFound, "", "")
		case next == nil:
			return bad(connectors.ErrBusy, fmt.Sprintf("%s, where the file is, answers with status %d", to.Host, res.StatusCode), "look whether the file opens in the tool itself")
		}
		to = next
	}
	return bad(connectors.ErrProtocol, "the file is at no server that the tool sends us to", "look whether it opens in the tool itself")
}
