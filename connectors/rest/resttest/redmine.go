package resttest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/servertest"
)

// Redmine returns a new, empty project of a real Redmine. Its issues have the custom fields "External ID" and "Incident".
func Redmine(t testing.TB) Desk {
	t.Helper()
	port, dir := redmine.Start(t)
	var keys redmineKeys
	if err := read(dir, &keys); err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	d := Desk{URL: url, Place: fmt.Sprintf("desk-%d", count.Add(1)), Key: keys.Key, Admin: Person{URL: url, Header: "X-Redmine-API-Key", Value: keys.Admin},
		Database: filepath.Join(redmineHome(dir), "db.sqlite3")}
	d.Admin.Do(t, http.MethodPost, "/projects.json", map[string]any{"project": map[string]any{
		"name": d.Place, "identifier": d.Place, "is_public": false, "enabled_module_names": []string{"issue_tracking"}, "issue_custom_field_ids": keys.Fields,
	}}, nil)
	d.Admin.Do(t, http.MethodPost, "/projects/"+d.Place+"/memberships.json", map[string]any{"membership": map[string]any{"user_id": keys.User, "role_ids": []int{keys.Role}}}, nil)
	return d
}

var redmine = &servertest.Server{
	Name: "Redmine", Packages: "what redmine depends on, redmine-sqlite and puma; redmine itself is only unpacked", Signal: "TERM",
	Prepare: prepareRedmine,
	Answers: func(ctx context.Context, dir string, port int) error {
		var keys redmineKeys
		if err := read(dir, &keys); err != nil {
			return err
		}
		return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/users/current.json", port), "X-Redmine-API-Key", keys.Admin)
	},
}

// redmineKeys are what the server leaves in its folder.
type redmineKeys struct {
	Admin, Key string
	User, Role int
	Fields     []int
}

// Unpacked is where "make test" unpacks Debian's package of Redmine, which it does not install: that would set up a
// Redmine for the whole machine, and fails with some releases of Ruby that it runs well on.
func Unpacked() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "fieldsync", "redmine"), err
}

//go:embed redmine.ru
var redmineRackup []byte

// prepareRedmine makes a copy of the application that keeps everything in dir, and touches no Redmine of this machine.
func prepareRedmine(dir string, port int) (servertest.Command, error) {
	puma, err := servertest.Program("puma", "/usr/bin")
	if err != nil {
		return servertest.Command{}, err
	}
	src := "/usr/share/redmine"
	if unpacked, err := Unpacked(); err == nil && exists(filepath.Join(unpacked, src)) {
		src = filepath.Join(unpacked, src)
	}
	if !exists(filepath.Join(src, "config.ru")) {
		return servertest.Command{}, fmt.Errorf("%w: there is no %s", servertest.ErrMissing, src)
	}
	app := filepath.Join(dir, "app")
	if !exists(app) {
		if err := layRedmine(src, app); err != nil {
			return servertest.Command{}, errors.Join(err, os.RemoveAll(app))
		}
	}
	return servertest.Command{
		Dir:  app,
		Args: []string{puma, "-q", "-e", "production", "-t", "1:1", "-b", "tcp://127.0.0.1:" + strconv.Itoa(port), "config.ru"}, // two threads lock each other out of SQLite
		Env: []string{"RAILS_ENV=production", "BUNDLE_GEMFILE=" + filepath.Join(app, "Gemfile"), "BUNDLE_APP_CONFIG=" + filepath.Join(dir, "bundle"), "BUNDLE_USER_HOME=" + filepath.Join(dir, "bundle"),
			"RUBYOPT=-W0 -rbundler/setup", "LANG=C.UTF-8", "TZ=UTC", "REDMINE_INSTANCE=default", "FIELDSYNC_KEYS=" + filepath.Join(dir, keyFile)},
	}, nil
}

// redmineHome is where the instance has what is its own.
func redmineHome(dir string) string { return filepath.Join(dir, "app", "instances", "default") }

func layRedmine(src, app string) error {
	if err := os.CopyFS(app, os.DirFS(src)); err != nil {
		return err
	}
	// What Debian links to the machine's own instances, and what it has there.
	for _, link := range []string{"Gemfile.lock", "instances", "config/database.yml"} {
		if err := os.Remove(filepath.Join(app, link)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	own := redmineHome(filepath.Dir(app))
	for _, d := range []string{"config", "log", "files", "tmp/cache", "public/plugin_assets"} {
		if err := os.MkdirAll(filepath.Join(own, d), 0o700); err != nil {
			return err
		}
	}
	gems, err := os.ReadFile(filepath.Join(app, "Gemfile"))
	if err != nil {
		return err
	}
	gems = bytes.ReplaceAll(gems, []byte("/usr/share/redmine/{config"), []byte(app+"/{config")) // whose database decides which gems it needs
	for name, content := range map[string][]byte{
		filepath.Join(app, "Gemfile"):                          gems,
		filepath.Join(app, "Gemfile.local"):                    []byte("gem 'puma'\n"),
		filepath.Join(app, "config.ru"):                        redmineRackup,
		filepath.Join(app, "config/additional_environment.rb"): []byte("config.log_level = :error\n"),
		filepath.Join(own, "config/secret_key.txt"):            []byte("only for tests, on loopback, for as long as they run"),
		filepath.Join(own, "config/database.yml"):              fmt.Appendf(nil, "production:\n  adapter: sqlite3\n  database: %s\n  timeout: 20000\n  pool: 5\n", filepath.Join(own, "db.sqlite3")),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
