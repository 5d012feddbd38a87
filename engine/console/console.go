// Package console shows a running service in a browser and steers it: pages for people, and for each of them a JSON twin
// under /api/v1 for programs.
//
// It knows no system, no mapping language and no store: what it shows comes from a [Backend], and every act is the
// Backend's. A page and its twin are one function that makes a view, shown by a template or as JSON, so that they cannot
// say different things. Pages are read without JavaScript, and forms are plain; htmx and an event stream only bring what is
// new into a page that is open. Start with [New]; routes.go lists everything that is answered. Errors of a Backend become
// a page, or JSON, with their way out.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
)

//go:embed assets/*.css assets/*.js assets/*.svg
var assets embed.FS

//go:embed pages/*.html
var pagesFS embed.FS

//go:embed openapi.json
var openapi []byte

// Options are what a console needs beside its Backend.
type Options struct {
	Log *slog.Logger
	// Audit keeps an act before it happens. An error keeps the act from happening.
	Audit func(ctx context.Context, action, subject, why string) error
	// Hint finds what a person can do about an error; "" if nothing is known.
	Hint func(error) string
	// Mask hides credentials in what is written through it; flush writes what it still holds back.
	Mask func(io.Writer) (w io.Writer, flush func())
	// Stop ends when the service is told to stop: streams end with it.
	Stop context.Context
}

// A Console answers the pages and the API of one service.
type Console struct {
	b     Backend
	o     Options
	pages map[string]*template.Template
	open  chan struct{} // one for each open stream
}

// streams is how many event streams are open at a time at most.
const streams = 100

// New makes a console. Templates are part of the program: a broken one is a bug, and panics.
func New(b Backend, o Options) *Console {
	c := &Console{b: b, o: o, pages: map[string]*template.Template{}, open: make(chan struct{}, streams)}
	base := template.Must(template.New("layout.html").Funcs(c.words()).ParseFS(pagesFS, "pages/layout.html", "pages/part_*.html"))
	files, err := fs.Glob(pagesFS, "pages/*.html")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "pages/"), ".html")
		if name != "layout" && !strings.HasPrefix(name, "part_") {
			c.pages[name] = template.Must(template.Must(base.Clone()).ParseFS(pagesFS, f))
		}
	}
	return c
}

// A Route is something that the console answers.
type Route struct {
	Pattern string // as http.ServeMux takes it
	Role    access.Role
	Handler http.Handler
}

// Routes lists everything that the console answers, with the role that it needs. Who asks is not looked at here.
func (c *Console) Routes() []Route {
	var list []Route
	for _, p := range pages {
		list = append(list,
			Route{"GET " + p.path, access.Look, c.page(p)},
			Route{"GET " + api + p.twin, access.Look, c.twin(p)})
	}
	for _, a := range acts {
		list = append(list,
			Route{"POST " + a.path, a.role, c.act(a, false)},
			Route{"POST " + api + a.path, a.role, c.act(a, true)})
	}
	return append(list,
		Route{"GET /live", access.Look, http.HandlerFunc(c.live)},
		Route{"GET " + api + "/openapi.json", access.Look, http.HandlerFunc(serveAPI)},
		Route{"GET /", access.Look, http.HandlerFunc(c.nothing)},
		Route{"POST /", access.Decide, http.HandlerFunc(c.nothing)},
		Route{"GET /static/{name}", access.Nobody, http.HandlerFunc(serveAsset)})
}

// nothing answers requests for what is not there.
func (c *Console) nothing(w http.ResponseWriter, r *http.Request) {
	err := fmt.Errorf("%w: nothing answers %s %s; %s/openapi.json lists what does", ErrNotFound, r.Method, r.URL.Path, api)
	if strings.HasPrefix(r.URL.Path, api+"/") {
		c.failJSON(w, err)
	} else {
		c.fail(w, r, err)
	}
}

func serveAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi) // the reader went away: nobody to tell
}

// kinds are the types of what is served from assets.
var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kinds[name[strings.LastIndexByte(name, '.'):]])
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(data) // the reader went away: nobody to tell
}

// A frame is what every page has around its view.
type frame struct {
	Title   string
	Path    string // of the page
	Here    string // path and query
	Nav     string // the entry of the menu that it belongs to
	Caller  access.Caller
	Service Service
	Now     time.Time
	Said    string // what an act has just done
	View    any
	News    uint64 // when the view was made
}

// May reports whether the caller has a role: "decide" or "run".
func (f frame) May(role string) bool {
	r, err := access.ParseRole(role)
	return err == nil && f.Caller.Role >= r
}

func (c *Console) page(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		news := c.b.News() // what comes while the view is made is told to the page again
		view, err := p.serve(c, r)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		f := c.frame(r, p.title, p.nav, view)
		f.News = news
		if t, ok := view.(interface{ title() string }); ok {
			f.Title = t.title()
		}
		c.render(w, r, http.StatusOK, p.template, f)
	})
}

func (c *Console) frame(r *http.Request, title, nav string, view any) frame {
	f := frame{Title: title, Path: r.URL.Path, Here: r.URL.RequestURI(), Nav: nav, Caller: access.From(r.Context()), Service: c.b.Service(), Now: c.b.Now(), View: view}
	f.Said = said[r.URL.Query().Get("said")]
	return f
}

// render writes a page whole or, where its template fails, an error.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name string, f frame) {
	var b bytes.Buffer
	if err := c.pages[name].ExecuteTemplate(&b, "layout.html", f); err != nil {
		c.o.Log.Error("page cannot be shown", "page", name, "err", err)
		http.Error(w, "this page cannot be shown; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	c.write(w, b.Bytes())
}

// write sends what is ready, without credentials.
func (c *Console) write(w io.Writer, data []byte) {
	out, flush := c.o.Mask(w)
	_, _ = out.Write(data) // the reader went away: nobody to tell
	flush()
}

func (c *Console) twin(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		view, err := p.serve(c, r)
		if err != nil {
			c.failJSON(w, err)
			return
		}
		c.json(w, http.StatusOK, view)
	})
}

func (c *Console) json(w http.ResponseWriter, status int, view any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(view); err != nil {
		c.o.Log.Error("answer cannot be written", "err", err)
		http.Error(w, `{"error":"this cannot be shown; see the log"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	c.write(w, b.Bytes())
}

// A Problem is what went wrong, and the way out where one is known.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// A refusal is an error with the status that it has over HTTP.
type refusal struct {
	error
	status int
}

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error {
	return refusal{fmt.Errorf(format, args...), http.StatusBadRequest}
}

// status is how an error is told over HTTP. What a system or the state did not answer is a failure of the service, and
// what it does not allow now is the request's.
func status(err error) int {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.status
	}
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, engine.ErrNoLink):
		return http.StatusNotFound
	case errors.Is(err, engine.ErrLeased):
		return http.StatusConflict
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusUnprocessableEntity
}

func (c *Console) problem(err error) Problem {
	return Problem{Error: err.Error(), Hint: c.o.Hint(err)}
}

func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := status(err)
	c.render(w, r, code, "problem", c.frame(r, http.StatusText(code), "", c.problem(err)))
}

func (c *Console) failJSON(w http.ResponseWriter, err error) {
	c.json(w, status(err), c.problem(err))
}

// act carries out what a form, or a JSON object of texts, asks for. The account of it comes first.
func (c *Console) act(a act, api bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail := func(err error) {
			if api {
				c.failJSON(w, err)
			} else {
				c.fail(w, r, err)
			}
		}
		in, err := a.read(r)
		if err != nil {
			fail(err)
			return
		}
		if err := c.o.Audit(r.Context(), a.name, a.subject(in), in["why"]); err != nil {
			c.o.Log.Error("act cannot be accounted for, so it was not done", "act", a.name, "err", err)
			fail(fmt.Errorf("nothing was done, as it cannot be accounted for: %w", err))
			return
		}
		done, err := a.do(c, r.Context(), in)
		if err != nil {
			fail(err)
			return
		}
		if api {
			c.json(w, http.StatusOK, done)
			return
		}
		to := done.See
		if back := in["back"]; back != "" && local(back) {
			to = back
		}
		http.Redirect(w, r, with(to, "said", a.name), http.StatusSeeOther)
	})
}

// local reports whether an address leads to a page of this service.
func local(to string) bool {
	u, err := url.Parse(to)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.Contains(to, `\`)
}

// with is an address with one more parameter.
func with(to, name, value string) string {
	u, err := url.Parse(to)
	if err != nil {
		return "/"
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
