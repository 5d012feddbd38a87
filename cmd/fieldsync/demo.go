package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/mattn/go-sqlite3"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/mappings"
)

func (a *app) demoCmd() *cobra.Command {
	var resume bool
	c := &cobra.Command{
		Use:   "demo [FOLDER]",
		Short: "a self-contained tour of the main job, on simulators",
		Long: `Starts a ServiceNow and an alarm simulator on this machine, fills a help desk, and
runs the real commands on the shipped mappings: preview, apply, edits on both sides,
a conflict, its decision, the alarm properties, an empty plan.

FOLDER (default "demo", or the next free "demo-2", …) keeps everything afterwards;
--resume starts the simulators again with what is in them, so that you can go on by hand.`,
		Example: `  fieldsync demo
  fieldsync demo --resume demo      in one terminal, then in another:
  . demo/env && fieldsync plan -d demo/mappings`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d := &demo{app: a, folder: "demo"}
			switch {
			case len(args) == 1:
				d.folder = args[0]
			case !resume:
				// An earlier tour may have been gone on with by hand: it is left alone.
				for n := 2; !empty(d.folder); n++ {
					d.folder = fmt.Sprintf("demo-%d", n)
				}
			}
			if resume {
				return d.resume(c.Context())
			}
			return d.tour(c.Context())
		},
	}
	c.Flags().BoolVar(&resume, "resume", false, "start the simulators of an earlier tour again and wait")
	return c
}

// A demo is one tour: two simulators, a help desk and a folder.
type demo struct {
	*app
	folder string
	snow   *snowsim.Server
	noc    *alarmsim.Server
	env    map[string]string
	failed error
}

// Where the parts of a demo are in its folder.
const (
	demoSnow = "servicenow.json"
	demoNOC  = "alarms.json"
	demoDesk = "helpdesk.db"
	demoEnv  = "env"
)

func (d *demo) path(name string) string { return filepath.Join(d.folder, name) }

const helpdesk = `
CREATE TABLE tickets (
  id              TEXT PRIMARY KEY,
  title           TEXT NOT NULL,
  description     TEXT,
  status          TEXT NOT NULL DEFAULT 'new',
  priority        INTEGER NOT NULL DEFAULT 4,
  assignee        TEXT,
  queue           TEXT NOT NULL DEFAULT 'noc',
  alarm           TEXT,
  incident_number TEXT,
  resolution      TEXT,
  updated_at      DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TRIGGER tickets_touched AFTER UPDATE ON tickets WHEN new.updated_at = old.updated_at BEGIN
  UPDATE tickets SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = new.id;
END;`

func (d *demo) tour(ctx context.Context) error {
	if !empty(d.folder) {
		return project.Hinted(fmt.Errorf("folder %s is not empty", d.folder), "name another one (fieldsync demo FOLDER), remove it, or go on in it: fieldsync demo --resume "+d.folder)
	}
	if err := d.lay(); err != nil {
		return err
	}
	d.snow, d.noc = snowsim.New(snowsim.Options{}), alarmsim.New(alarmsim.Options{Properties: []string{"Incident Status", "Incident Number", "Ticket ID"}})
	stop, err := d.start(ctx, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()

	d.title("A help desk with five tickets, a ServiceNow instance, an alarm system: all on this machine")
	beth := d.person("beth.anglin@example.com")
	alarm1 := d.noc.RaiseAlarm("Input bitrate low on IRD 7", "Critical", nil)
	alarm2 := d.noc.RaiseAlarm("Fan failure in rack 12", "Minor", nil)
	d.desk(`INSERT INTO tickets (id, title, description, status, priority, assignee, queue, alarm) VALUES
		('T-1001', 'Router 7 down', 'No route to site B since 08:12', 'open', 1, ?, 'noc', NULL),
		('T-1002', 'Input bitrate low on IRD 7', NULL, 'new', 2, NULL, 'noc', ?),
		('T-1003', 'Fan failure in rack 12', NULL, 'new', 4, NULL, 'noc', ?),
		('T-1004', 'Certificate of portal expires', 'On 1 December', 'new', 3, NULL, 'noc', NULL),
		('T-1005', 'New chair', NULL, 'new', 5, NULL, 'office', NULL)`, beth, alarm1, alarm2)

	d.title("The mapping files are right, and so are the tests that they bring")
	d.fieldsync(exitOK, "validate")
	d.fieldsync(exitOK, "test")

	d.title("Preview: what would happen, field by field. Nothing is written")
	d.fieldsync(exitChanges, "plan")

	d.title("Carry it out. The office ticket is out of scope; the numbers come back in the same run")
	d.fieldsync(exitOK, "apply", "--yes")

	d.title("People work on both sides: a ticket is resolved, an incident is taken, and two people set the priority of T-1004")
	d.desk(`UPDATE tickets SET status = 'resolved', resolution = 'Replaced the SFP' WHERE id = 'T-1001'`)
	d.incident("T-1002", map[string]string{"state": "2", "short_description": "Input bitrate low on IRD 7 (multicast 239.1.1.7)"})
	d.desk(`UPDATE tickets SET priority = 1 WHERE id = 'T-1004'`)
	d.incident("T-1004", map[string]string{"impact": "3", "urgency": "3"})
	d.fieldsync(exitChanges, "plan")

	d.title("One field is in conflict: it waits for a person, the rest does not. Why, and then the decision")
	d.fieldsync(exitOK, "explain", "ticket_to_incident", "T-1004", "priority")
	d.fieldsync(exitOK, "resolve", "ticket_to_incident", "T-1004", "priority", "--take", "ticket")
	d.fieldsync(exitOK, "apply", "--yes")

	d.title("The alarms show what became of their incidents")
	for _, key := range []string{alarm1, alarm2} {
		al, _ := d.noc.Get(key)
		d.say("  %-28s Incident Status %-14q Incident Number %-14q Ticket ID %q", al.Name, al.Properties["Incident Status"], al.Properties["Incident Number"], al.Properties["Ticket ID"])
	}

	d.title("And a second run has nothing to do")
	d.fieldsync(exitOK, "plan")
	d.fieldsync(exitOK, "status")
	if d.failed != nil {
		return d.failed
	}
	if err := d.keep(); err != nil {
		return err
	}
	d.title("Go on by hand")
	me := os.Args[0]
	d.say("Start the simulators again, in one terminal:")
	d.say("  %s demo --resume %s", me, d.folder)
	d.say("In another, be an agent on either side, look, and carry it out; or edit the rules first:")
	d.say("  . %s", d.path(demoEnv))
	for _, inc := range d.snow.Find("incident", "correlation_id", "T-1003") {
		d.say("  curl -u admin:admin -X PATCH -H 'Content-Type: application/json' -d '{\"state\":\"2\"}' $SNOW_URL/api/now/table/incident/%s", inc["sys_id"])
	}
	d.say("  sqlite3 %s \"UPDATE tickets SET title = 'Fan tray of rack 12' WHERE id = 'T-1003'\"", d.path(demoDesk))
	d.say("  %s plan -d %s", me, d.path("mappings"))
	d.say("  %s apply -d %s", me, d.path("mappings"))
	d.say("The rules are in %s.", filepath.Join(d.path("mappings"), "ticket_to_incident.hcl"))
	d.say("Or let it run on its schedule, and watch and steer it in a browser:")
	d.say("  %s serve -d %s", me, d.path("mappings"))
	d.say("  http://%s", service.DefaultListen)
	return nil
}

// empty reports whether nothing is in a folder, or no folder there.
func empty(folder string) bool {
	entries, err := os.ReadDir(folder)
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0
}

// lay writes the shipped mappings and an empty help desk into the folder.
func (d *demo) lay() error {
	if err := os.MkdirAll(d.path("mappings"), 0o755); err != nil {
		return err
	}
	err := fs.WalkDir(mappings.Files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := mappings.Files.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(d.path("mappings"), name), data, 0o644)
	})
	if err != nil {
		return err
	}
	d.desk(helpdesk)
	return d.failed
}

// start serves both simulators and tells the commands where they are.
func (d *demo) start(ctx context.Context, snow, noc string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var ended []chan error
	stop = func() {
		cancel()
		for _, c := range ended {
			<-c
		}
	}
	listen := func(addr string) (net.Listener, error) {
		l, err := listenLoopback(addr)
		if err != nil {
			stop()
		}
		return l, err
	}
	ls, err := listen(snow)
	if err != nil {
		return nil, err
	}
	ln, err := listen(noc)
	if err != nil {
		return nil, errors.Join(err, ls.Close())
	}
	for _, s := range []struct {
		l net.Listener
		h http.Handler
	}{{ls, d.snow}, {ln, d.noc}} {
		c := make(chan error, 1)
		ended = append(ended, c)
		go func() { c <- service.ServeHTTP(ctx, s.l, nil, s.h) }()
	}
	user := snowsim.DefaultUsers()[0]
	for _, u := range snowsim.DefaultUsers() {
		if u.Login == "integration" {
			user = u
		}
	}
	desk, err := filepath.Abs(d.path(demoDesk))
	if err != nil {
		stop()
		return nil, err
	}
	d.env = map[string]string{
		"SNOW_URL": "http://" + ls.Addr().String(), "SNOW_USER": user.Login, "SNOW_PASSWORD": user.Password,
		"NOC_URL": "http://" + ln.Addr().String(), "HELPDESK_DSN": desk,
	}
	return stop, nil
}

// resume starts the simulators of an earlier tour again, at the addresses in its env file, and waits.
func (d *demo) resume(ctx context.Context) error {
	env, err := readEnv(d.path(demoEnv))
	if err != nil {
		return project.Hinted(err, "run fieldsync demo "+d.folder+" first")
	}
	d.snow, d.noc = snowsim.New(snowsim.Options{}), alarmsim.New(alarmsim.Options{})
	if err := errors.Join(load(d.path(demoSnow), d.snow.Load), load(d.path(demoNOC), d.noc.Load)); err != nil {
		return err
	}
	stop, err := d.start(ctx, strings.TrimPrefix(env["SNOW_URL"], "http://"), strings.TrimPrefix(env["NOC_URL"], "http://"))
	if err != nil {
		return err
	}
	d.say("ServiceNow simulator at %s, alarms at %s. In another terminal:", d.env["SNOW_URL"], d.env["NOC_URL"])
	d.say("  . %s && fieldsync plan -d %s", d.path(demoEnv), d.path("mappings"))
	d.say("Interrupt (Ctrl-C) to stop them; what is in them is kept.")
	d.out.Flush()
	<-ctx.Done()
	stop()
	return d.keep()
}

// keep writes what is in the simulators, and the environment that reaches them, into the folder.
func (d *demo) keep() error {
	var env strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.env)) {
		fmt.Fprintf(&env, "export %s='%s'\n", name, d.env[name])
	}
	return errors.Join(save(d.path(demoSnow), d.snow.Save), save(d.path(demoNOC), d.noc.Save),
		os.WriteFile(d.path(demoEnv), []byte(env.String()), 0o600))
}

func save(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func load(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return read(f)
}

func readEnv(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		env[name] = strings.Trim(value, "'")
	}
	return env, nil
}

// title announces a step.
func (d *demo) title(text string) {
	d.say("\n%s\n", d.style.Bold(text))
}

// fieldsync runs one command as a person would, and holds it to the exit code that the tour promises.
func (d *demo) fieldsync(want int, args ...string) {
	if d.failed != nil {
		return
	}
	d.say("%s", "$ fieldsync "+strings.Join(args, " "))
	d.out.Flush()
	code := run(context.Background(), append(args, "-d", d.path("mappings")), stdio{In: strings.NewReader(""), Out: d.out, Err: d.err, Getenv: d.lookup})
	if code != want {
		d.failed = fmt.Errorf("the tour stopped: fieldsync %s ended with %d instead of %d", strings.Join(args, " "), code, want)
	}
}

func (d *demo) lookup(name string) (string, bool) {
	if v, ok := d.env[name]; ok {
		return v, true
	}
	return d.getenv(name)
}

// desk is an agent at the help desk.
func (d *demo) desk(query string, args ...any) {
	if d.failed != nil {
		return
	}
	db, err := sql.Open("sqlite3", "file:"+d.path(demoDesk)+"?_busy_timeout=5000")
	if err == nil {
		_, err = db.Exec(query, args...)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		d.failed = fmt.Errorf("help desk: %w", err)
	}
}

// incident is an agent at ServiceNow.
func (d *demo) incident(ticket string, fields map[string]string) {
	if d.failed != nil {
		return
	}
	for _, inc := range d.snow.Find("incident", "correlation_id", ticket) {
		if err := d.snow.Update("incident", inc["sys_id"], "beth.anglin", fields); err != nil {
			d.failed = fmt.Errorf("instance: %w", err)
		}
	}
}

// person makes sure that ServiceNow knows somebody by this address.
func (d *demo) person(email string) string {
	if len(d.snow.Find("sys_user", "email", email)) == 0 {
		d.snow.Insert("sys_user", map[string]string{"user_name": strings.Split(email, "@")[0], "email": email, "name": "Beth Anglin"})
	}
	return email
}
