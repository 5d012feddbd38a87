package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

func TestAPluginThatCrashesIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := ticketsOf(t, "liar", fmt.Sprintf("how = \"crash at first\"\nfolder = %q", dir), "", nil)
	if _, err := scan(t.Context(), c, "title"); !errors.Is(err, connectors.ErrOffline) || !strings.Contains(err.Error(), "exit status 7") {
		t.Fatalf("the crash shows as %v", err)
	}
	if n, err := scan(t.Context(), c, "title"); n != 3 || err != nil {
		t.Errorf("afterwards a scan gives %d records and %v", n, err)
	}
}

func TestACrashSaysWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	c := ticketsOf(t, "liar", `how = "crash in scan"`, "", nil)
	_, err := scan(t.Context(), c, "title")
	if !errors.Is(err, connectors.ErrOffline) || !strings.Contains(err.Error(), "exit status 2; it said: panic: out of luck") {
		t.Errorf("the crash shows as %v", err)
	}
}

func TestAWriteWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	for how, says := range map[string]string{"crash in create": "exit status 9", "hang in create": "silent for 3s"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := ticketsOf(t, "liar", `how = "`+how+`"`, `timeout = "3s"`, nil)
			if err := asks["create"](t.Context(), c); !errors.Is(err, connectors.ErrOutcome) || !strings.Contains(err.Error(), says) {
				t.Errorf("the error is %v", err)
			}
			if n, err := scan(t.Context(), c, "title"); n != 3 || err != nil {
				t.Errorf("afterwards a scan gives %d records and %v", n, err)
			}
		})
	}
}

func TestAPluginThatHangsIsEndedWithAllItStarted(t *testing.T) {
	for _, how := range []string{"hang in scan", "have a child"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			conn := connected(t, "liar", `how = "`+how+`"`, `timeout = "3s"`, nil)
			found, err := conn.(connectors.Checker).Check(t.Context())
			if err != nil || len(found) != 2 {
				t.Fatal(found, err)
			}
			pid, err := strconv.Atoi(found[1].Detail)
			if err != nil || syscall.Kill(pid, 0) != nil {
				t.Fatalf("process %s: %v", found[1].Detail, err)
			}
			if how == "have a child" {
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			} else {
				c, err := conn.Collection(t.Context(), "tickets")
				if err != nil {
					t.Fatal(err)
				}
				if n, err := scan(t.Context(), c, "title"); n != 30 || !errors.Is(err, connectors.ErrOffline) || !strings.Contains(err.Error(), "silent for 3s") || !strings.Contains(connectors.Hint(err), "raise timeout") {
					t.Errorf("%d records and %v, with the hint %q", n, err, connectors.Hint(err))
				}
			}
			gone(t, pid)
		})
	}
}

// gone waits until there is no such process; one that is dead and not yet taken note of counts as gone.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
	}
	t.Errorf("process %d is still there", pid)
}

func TestACallThatIsGivenUpEndsNothing(t *testing.T) {
	t.Parallel()
	c := ticketsOf(t, "liar", `how = "hang in read"`, "", nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := asks["read"](ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if n, err := scan(t.Context(), c, "title"); n != 3 || err != nil {
		t.Errorf("afterwards a scan gives %d records and %v", n, err)
	}
}

func TestAStartThatIsGivenUpDoesNotKeepAnybodyWaiting(t *testing.T) {
	t.Parallel()
	conn := connected(t, "mute", "", `timeout = "1h"`, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := conn.Collection(ctx, "tickets"); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestClosingEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	conn := connected(t, "liar", `how = "hang in read"`, `timeout = "1h"`, nil)
	c, err := conn.Collection(t.Context(), "tickets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scan(t.Context(), c, "title"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- asks["read"](t.Context(), c) }()
	time.AfterFunc(50*time.Millisecond, func() { _ = conn.Close() })
	if err := <-ended; !errors.Is(err, connectors.ErrOffline) {
		t.Errorf("the error is %v", err)
	}
}

// shortTemp is a folder in which a socket has room: t.TempDir has the test's name in it.
func shortTemp(t *testing.T) string {
	t.Helper()
	temp, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	return temp
}

func TestNothingIsLeftInTheTemporaryFolder(t *testing.T) {
	temp := shortTemp(t)
	t.Setenv("TMPDIR", temp)
	for _, how := range []string{"", "crash in scan", "hang in open"} {
		conn := connected(t, "liar", `how = "`+how+`"`, `timeout = "1s"`, nil)
		if c, err := conn.Collection(t.Context(), "tickets"); err == nil {
			_, _ = scan(t.Context(), c, "title")
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(temp + "/fieldsync-plugin-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOneThatCrashesAgainAndAgainIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	folder, sum := programAs(t, "liar")
	c, diags := settings(t, t.TempDir(), bodyOf("liar", folder, sum, `how = "crash in scan"`, ""))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	conn, err := c.Open(connectors.Env{Name: "shop", Log: slog.New(slog.DiscardHandler), Dir: t.TempDir(), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	col, err := conn.Collection(t.Context(), "tickets")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"exit status 2", "exit status 2", "started again in 1s", "started again in 1s", "", "started again in 2s"} {
		if want == "" {
			mu.Lock()
			now = now.Add(time.Second)
			mu.Unlock()
			want = "exit status 2"
		}
		if _, err := scan(t.Context(), col, "title"); !errors.Is(err, connectors.ErrOffline) || !strings.Contains(err.Error(), want) {
			t.Fatalf("scan %d: the error is %v, want %q", i, err, want)
		}
	}
}

func TestAProgramThatIsNoPluginSaysSo(t *testing.T) {
	for name, says := range map[string]string{
		"crashes": "exit status 3; it said: no license found", "babbles": "Welcome to babbles", "mute": "did not start within 3s",
		"elsewhere": "neither a unix socket nor a port of 127.0.0.1", "climbs": "not in the folder that it was given", "older": "incompatible API version", "netrpc": "unsupported plugin protocol",
		"endless": "did not start", "liar": "did not start within 3s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := ""
			if name == "liar" {
				own = `how = "hang in open"`
			}
			conn := connected(t, name, own, `timeout = "3s"`, nil)
			_, err := conn.Collection(t.Context(), "tickets")
			if !errors.Is(err, connectors.ErrOffline) || !strings.Contains(err.Error(), says) {
				t.Errorf("the error is %v, want %q", err, says)
			}
		})
	}
}

func TestThePluginsWordAboutItsSettingsIsPassedOn(t *testing.T) {
	conn := connected(t, "store", "how = \"wrong settings\"\ntoken = env(\"TOKEN\")", "", nil)
	_, err := conn.Collection(t.Context(), "tickets")
	if !errors.Is(err, connectors.ErrConfig) || err.Error() != "open shop: wrong settings: the token (sensitive) is no token" || connectors.Hint(err) != "get another one" {
		t.Errorf("the error is %v, with the hint %q", err, connectors.Hint(err))
	}
	conn = connected(t, "store", "hwo = 1", "", nil)
	if _, err := conn.Collection(t.Context(), "tickets"); !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), `"hwo"`) {
		t.Errorf("a setting that the plugin does not have: %v", err)
	}
}

func TestNothingOfOursGetsIntoThePluginsEnvironment(t *testing.T) {
	t.Setenv("SNOW_PASSWORD", "hunter2hunter2")
	dir := t.TempDir()
	conn := connected(t, "liar", fmt.Sprintf("how = \"show environment\"\nfolder = %q\ntoken = env(\"TOKEN\")", dir), "", nil)
	found, err := conn.(connectors.Checker).Check(t.Context())
	if err != nil || found[0].Detail != "program liar: liar [31m1.0" {
		t.Fatal(found, err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(seen); strings.Contains(s, "hunter2") || strings.Contains(s, "secret-of") {
		t.Errorf("the plugin sees secrets: %s", s)
	}
	allowed := []string{"PATH", "TMPDIR", "LANG", "FIELDSYNC_PLUGIN", "PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR"}
	for line := range strings.Lines(string(seen)) {
		name, _, ok := strings.Cut(line, "=")
		if ok && !strings.ContainsAny(name, " +/") && len(name) < 40 && !strings.HasSuffix(strings.TrimSpace(line), "=") && !contains(allowed, name) {
			t.Errorf("the plugin sees %s", name)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestWhatAPluginSaysIsLoggedWithoutItsSecrets(t *testing.T) {
	var log locked
	conn := connected(t, "store", `auth "basic" {
		password = "pass-word-1"
	}
	token = env("TOKEN")`, "", &log)
	if _, err := conn.Collection(t.Context(), "tickets"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); !strings.Contains(s, `opened with \"shop\" and token (sensitive)`) || strings.Contains(s, "secret-of") {
		t.Errorf("the log is %s", s)
	}
}

func TestAPluginThatTalksTooMuchIsNotWrittenDown(t *testing.T) {
	var log locked
	conn := connected(t, "liar", `how = "flood"`, "", &log)
	if _, err := conn.(connectors.Checker).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(log.String(), "\n")
	if said := strings.Count(log.String(), "plugin says"); said < 50 || said > 250 { // a hundred in ten seconds
		t.Errorf("%d lines are in the log", said)
	}
	for _, line := range lines {
		if len(line) > 1200 {
			t.Fatalf("a line of %d bytes is in the log", len(line))
		}
	}
}

type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// hostAlone is a process of its own that has a plugin, says its number, and waits to be killed.
func hostAlone() {
	f, diags := hclsyntax.ParseConfig([]byte(os.Getenv("FIELDSYNC_TEST_HOST")), "main.hcl", hcl.InitialPos)
	c := plugin.New().(*plugin.Config)
	diags = append(diags, gohcl.DecodeBody(f.Body, nil, c)...)
	_, _, more := c.Prepare(".", nil, expression.Scope{}, nil)
	if diags = append(diags, more...); diags.HasErrors() {
		fmt.Println(diags)
		os.Exit(1)
	}
	conn, err := c.Open(connectors.Env{Name: "shop", Log: slog.New(slog.DiscardHandler), Now: time.Now, Dir: "."})
	if err == nil {
		var found []connectors.Finding
		if found, err = conn.(connectors.Checker).Check(context.Background()); err == nil {
			fmt.Println(found[1].Detail)
			time.Sleep(time.Hour)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// The plugin called liar does not look at its input, so this is the kernel's doing; the one of the SDK looks.
func TestAPluginEndsWithAKilledFieldsync(t *testing.T) {
	t.Parallel()
	folder, sum := programAs(t, "liar")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TMPDIR="+shortTemp(t), "FIELDSYNC_TEST_HOST="+bodyOf("liar", folder, sum, "", ""))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Errorf("no plugin: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if pid != 0 {
		gone(t, pid)
	}
}

func TestAConnectionClosesTwiceAndIsOverThen(t *testing.T) {
	conn := connected(t, "store", "", "", nil)
	if _, err := conn.Collection(t.Context(), "tickets"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := conn.Collection(t.Context(), "tickets"); !errors.Is(err, connectors.ErrOffline) {
		t.Errorf("after the end: %v", err)
	}
}
