package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// hook sends a signed webhook, as a system does, and fails unless the answer has the status:
//
//	hook [-at DURATION] [-secret SECRET] [-times N] [-large] [-plain HEADER=VALUE] URL STATUS BODY
//	hook -again URL STATUS       sends the last one again, as it was
//
// With -times, a %d in the body counts from 1.
func hook(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("hook", flag.ContinueOnError)
	at := f.Duration("at", 0, "")
	secret := f.String("secret", "hush-hush-hush", "")
	times := f.Int("times", 1, "")
	again := f.Bool("again", false, "")
	plain := f.String("plain", "", "")
	large := f.Bool("large", false, "")
	ts.Check(f.Parse(args))
	w := worldOf(ts)
	if neg || f.NArg() < 2 {
		ts.Fatalf("usage: hook [-at duration] [-secret secret] [-times n] [-large] url status body, or hook -again url status")
	}
	for i := range *times {
		if !*again {
			body := f.Arg(2)
			if strings.Contains(body, "%d") {
				body = fmt.Sprintf(body, i+1)
			}
			if *large {
				body += strings.Repeat(" ", 1<<20)
			}
			w.hook = signed(*secret, body, time.Now().Add(*at))
			if name, value, ok := strings.Cut(*plain, "="); ok {
				w.hook = http.Header{name: {value}}
			}
			w.hooked = body
		}
		req, err := http.NewRequest(http.MethodPost, f.Arg(0), strings.NewReader(w.hooked))
		ts.Check(err)
		req.Header = w.hook.Clone()
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		answer, err := io.ReadAll(resp.Body)
		ts.Check(err)
		ts.Check(resp.Body.Close())
		fmt.Fprintf(ts.Stdout(), "%d %s", resp.StatusCode, answer)
		if got := strconv.Itoa(resp.StatusCode); got != f.Arg(1) {
			ts.Fatalf("%s answers with %s %s, want %s", f.Arg(0), got, answer, f.Arg(1))
		}
	}
}

// signed is how a webhook is signed.
func signed(secret, body string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	sum := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(sum, "%s.%s", stamp, body)
	return http.Header{"X-Fieldsync-Timestamp": {stamp}, "X-Fieldsync-Signature": {"sha256=" + hex.EncodeToString(sum.Sum(nil))}}
}

// sysid CORRELATION ENV puts the sys_id of an incident into an environment variable.
func sysid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sysid correlation env")
	}
	found := worldOf(ts).snow.Find("incident", "correlation_id", args[0])
	if len(found) != 1 {
		ts.Fatalf("%d incidents have the correlation_id %s", len(found), args[0])
	}
	ts.Setenv(args[1], found[0]["sys_id"])
}
