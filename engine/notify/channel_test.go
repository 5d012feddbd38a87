package notify_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/notify"
)

var notice = notify.Notice{Kind: notify.Stopped, Sync: "tickets", Since: noon, Text: "tickets: 30 < 50 & more wait.", Do: "fieldsync plan tickets"}

func TestWebhook(t *testing.T) {
	t.Parallel()
	var body []byte
	var header http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
	}))
	defer srv.Close()
	h := &notify.Webhook{URL: srv.URL + "/hush", Secret: "key", Now: func() time.Time { return noon }}
	if err := h.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	var got notify.Notice
	if err := json.Unmarshal(body, &got); err != nil || got != notice {
		t.Errorf("sent %s (%v)", body, err)
	}
	sum := hmac.New(sha256.New, []byte("key"))
	fmt.Fprintf(sum, "%d.%s", noon.Unix(), body)
	if want := "sha256=" + hex.EncodeToString(sum.Sum(nil)); header.Get("X-Fieldsync-Signature") != want {
		t.Errorf("signature %q, want %q", header.Get("X-Fieldsync-Signature"), want)
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	var got map[string]string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = json.NewDecoder(r.Body).Decode(&got) }))
	defer srv.Close()
	if err := (&notify.Slack{URL: srv.URL}).Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	if want := "tickets: 30 &lt; 50 &amp; more wait.\nfieldsync plan tickets"; got["text"] != want {
		t.Errorf("text %q, want %q", got["text"], want)
	}
}

func TestARefusalIsAnErrorWithoutTheSecretAddress(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hush/redirect" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		http.Error(w, "hush", http.StatusForbidden)
	}))
	gone := httptest.NewServer(nil)
	gone.Close()
	defer srv.Close()
	for _, to := range []string{srv.URL + "/hush/no", srv.URL + "/hush/redirect", gone.URL + "/hush/x", "://hush"} {
		err := (&notify.Slack{URL: to}).Send(t.Context(), notice)
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("error %v, want one without the address's path", err)
		}
	}
}

// mailbox is a mail server of one session that keeps what it is told.
func mailbox(t *testing.T) (address string, got <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		say := func(s string) { fmt.Fprintf(c, "%s\r\n", s) }
		say("220 mail.test")
		var all strings.Builder
		for data := false; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			all.WriteString(line)
			switch verb, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " "); {
			case data && verb == ".":
				data = false
				say("250 kept")
			case data:
			case verb == "EHLO":
				say("250 mail.test")
			case verb == "DATA":
				data = true
				say("354 go on")
			case verb == "QUIT":
				say("221 bye")
				out <- all.String()
				return
			default:
				say("250 ok")
			}
		}
	}()
	return l.Addr().String(), out
}

func TestEmail(t *testing.T) {
	t.Parallel()
	address, got := mailbox(t)
	e := &notify.Email{Server: address, From: "fieldsync@acme.test", To: []string{"ops@acme.test", "Night <night@acme.test>"}}
	if err := e.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	all := <-got
	for _, want := range []string{"RCPT TO:<ops@acme.test>", "RCPT TO:<night@acme.test>", "Subject: fieldsync: tickets: 30 < 50 & more wait.", "fieldsync plan tickets"} {
		if !strings.Contains(all, want) {
			t.Errorf("the message lacks %q:\n%s", want, all)
		}
	}
}

func TestMailIsNotSentWithoutTLSToAnotherMachine(t *testing.T) {
	t.Parallel()
	e := &notify.Email{Server: "mail.invalid:587", Username: "u", Password: "hush", From: "a@acme.test", To: []string{"b@acme.test"}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := e.Send(ctx, notice); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}
