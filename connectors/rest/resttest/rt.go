package resttest

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/servertest"
)

// RequestTracker returns a new, empty queue of a real Request Tracker. Its tickets have the custom fields "External ID",
// "Incident" and, of several lines, "Details".
func RequestTracker(t testing.TB) Desk {
	t.Helper()
	port, dir := tracker.Start(t)
	var keys trackerKeys
	if err := read(dir, &keys); err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	d := Desk{URL: url, Place: fmt.Sprintf("Desk %d", count.Add(1)), Key: keys.Key, Admin: Person{URL: url + "/REST/2.0", Header: "Authorization", Value: "token " + keys.Admin},
		Database: filepath.Join(dir, "rt.sqlite3")}
	d.Admin.Do(t, http.MethodPost, "/queue", map[string]any{"Name": d.Place}, nil)
	return d
}

var tracker = &servertest.Server{
	Name: "Request Tracker", Packages: "request-tracker5 rt5-db-sqlite rt5-standalone", Signal: "TERM",
	Prepare: prepareTracker,
	Answers: func(ctx context.Context, dir string, port int) error {
		var keys trackerKeys
		if err := read(dir, &keys); err != nil {
			return err
		}
		return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/REST/2.0/rt", port), "Authorization", "token "+keys.Admin)
	},
}

// trackerKeys are what the seed prints.
type trackerKeys struct{ Admin, Key string }

//go:embed rt.pl
var trackerSeed []byte

// trackerConfig is its own configuration, in place of the machine's. It sends no mail, and does not take the quarter of a
// second for each request that Request Tracker spends on making its keys hard to guess.
const trackerConfig = `
Set($rtname, 'desk');
Set($Organization, 'desk');
Set($Timezone, 'UTC');
Set($WebDomain, '127.0.0.1');
Set($WebPort, %[2]d);
Set($CanonicalizeRedirectURLs, 0);
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '%[1]s/rt.sqlite3');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'error');
Set($MailCommand, sub { 1 });
Set($BcryptCost, 4);
Set(%%GnuPG, Enable => 0);
Set(%%SMIME, Enable => 0);
Set($WebSessionClass, 'Apache::Session::File');
$RT::MasonDataDir = '%[1]s/mason';
$RT::MasonSessionDir = '%[1]s/session';
1;
`

func prepareTracker(dir string, port int) (servertest.Command, error) {
	const share = "/usr/share/request-tracker5"
	setup, err := servertest.Program("rt-setup-database-5", "/usr/sbin")
	if err != nil {
		return servertest.Command{}, err
	}
	perl, err := servertest.Program("perl", "/usr/bin")
	if err != nil {
		return servertest.Command{}, err
	}
	for _, need := range []string{share + "/libexec/rt-server", "/usr/share/perl5/Plack/Handler/Starlet.pm", "/usr/share/perl5/DBIx/SearchBuilder/Handle/SQLite.pm"} {
		if !exists(need) {
			return servertest.Command{}, fmt.Errorf("%w: there is no %s", servertest.ErrMissing, need)
		}
	}
	for _, d := range []string{"site.d", "mason", "session"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return servertest.Command{}, err
		}
	}
	config, keys := filepath.Join(dir, "RT_SiteConfig.pm"), filepath.Join(dir, keyFile)
	env := []string{"RT_SITE_CONFIG=" + config, "RT_SITE_CONFIG_DIR=" + filepath.Join(dir, "site.d"), "HOME=" + dir, "LANG=C.UTF-8", "TZ=UTC"}
	if err := os.WriteFile(config, fmt.Appendf(nil, trackerConfig, dir, port), 0o600); err != nil {
		return servertest.Command{}, err
	}
	if !exists(keys) {
		if err := seedTracker(dir, setup, perl, keys, env); err != nil {
			return servertest.Command{}, err
		}
	}
	// Two tickets at a time are what its database stands.
	return servertest.Command{Env: env, Args: []string{perl, share + "/libexec/rt-server", "--server", "Starlet", "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--max-workers", "2", "--env", "deployment", "--access-log", filepath.Join(dir, "access")}}, nil
}

func seedTracker(dir, setup, perl, keys string, env []string) error {
	run := func(name string, args ...string) ([]byte, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.Output()
		if failed, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("%s: %w\n%s%s", name, err, out, failed.Stderr)
		}
		return out, err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("only for tests, on loopback\n"), 0o600); err != nil {
		return err
	}
	if _, err := run(setup, "--action", "init", "--root-password-file", password); err != nil {
		return err
	}
	seed := filepath.Join(dir, "seed.pl")
	if err := os.WriteFile(seed, trackerSeed, 0o600); err != nil {
		return err
	}
	said, err := run(perl, seed)
	if err != nil {
		return err
	}
	return os.WriteFile(keys, said, 0o600)
}
