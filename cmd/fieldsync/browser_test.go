package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// newBrowser starts a Chromium of its own, without a window. A machine that has none, and cannot be given one by make
// test, skips the test and says so.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium on this machine: make test installs Debian's where it can")
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(program), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return ctx
}

// A tab is one page in the browser, and everything that it complains about.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu     sync.Mutex
	amiss  []string
	expect bool // something that goes wrong is part of the test
}

// watching makes the page itself tell of what its policy forbids.
const watching = `document.addEventListener("securitypolicyviolation", e => console.error("policy: " + e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile + ":" + e.lineNumber))`

// open opens a tab on a site. When the test ends, nothing may have gone wrong on any of its pages.
func open(t *testing.T, browser context.Context, site string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext()) // cookies of its own
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, url: site}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b.check(chromedp.Listen(ctx, b.hear))
	b.call(func() error { _, err := chromedp.Call(ctx, log.Enable, struct{}{}); return err })
	b.call(func() error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watching})
		return err
	})
	b.size(1280, 900)
	t.Cleanup(func() {
		if list := b.complaints(); len(list) > 0 && !b.expect {
			t.Errorf("pages complain:\n%s", strings.Join(list, "\n"))
		}
	})
	return b
}

func (b *tab) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) call(f func() error) { b.t.Helper(); b.check(f()) }

func (b *tab) hear(ev any) {
	what := ""
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" || ev.Entry.Level == "warning" {
			what = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		what = "exception: " + ev.ExceptionDetails.Text
		if x := ev.ExceptionDetails.Exception; x != nil {
			what += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" {
			what = string(ev.Type)
			for _, a := range ev.Args {
				what += " " + string(a.Value)
			}
		}
	}
	if what != "" {
		b.mu.Lock()
		b.amiss = append(b.amiss, what)
		b.mu.Unlock()
	}
}

func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.amiss)
}

// size is that of the window.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.check(chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height)))
}

// dark prefers dark pages.
func (b *tab) dark() {
	b.t.Helper()
	b.call(func() error {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return err
	})
}

// script switches JavaScript off, or on.
func (b *tab) script(on bool) {
	b.t.Helper()
	b.call(func() error {
		_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// visit goes to a page. One that is still on its way, because something was clicked right before, may come in between, and
// then the address is asked for again.
func (b *tab) visit(path string) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.Navigate(b.url+path))
	for again := 0; again < 3 && err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED"); again++ {
		err = chromedp.Do(b.ctx, chromedp.Navigate(b.url+path))
	}
	b.check(err)
}

// click clicks what an XPath finds.
func (b *tab) click(xpath string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(xpath)); err != nil {
		b.t.Fatalf("click %s: %v\n%s", xpath, err, b.text())
	}
}

func (b *tab) fill(css, text string) {
	b.t.Helper()
	b.check(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(css), text)))
}

// keys presses keys, as somebody without a mouse does.
func (b *tab) keys(text string) {
	b.t.Helper()
	b.check(chromedp.Do(b.ctx, chromedp.KeyEvent(text)))
}

// text is what the page says.
func (b *tab) text() string {
	b.t.Helper()
	return ask[string](b, `document.body ? document.body.innerText : ""`)
}

func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// sees waits until the page says all of these.
func (b *tab) sees(texts ...string) {
	b.t.Helper()
	said := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
		if err != nil {
			continue // between two pages
		}
		said = v
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(said, text) }) {
			return
		}
	}
	b.t.Fatalf("the page does not say %q:\n%s", texts, said)
}

// shot keeps a picture of the whole page: in the folder that FIELDSYNC_SCREENSHOTS names, else with the test's artifacts.
func (b *tab) shot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	dir := os.Getenv("FIELDSYNC_SCREENSHOTS")
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	b.check(os.MkdirAll(dir, 0o755))
	b.check(os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}

// until waits for something that the page does.
func (b *tab) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			b.t.Fatalf("waited for nothing: %s\n%s", what, b.text())
		}
	}
}
