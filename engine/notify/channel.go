package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// A Channel carries notices to people. Errors name the channel's host and never its credentials.
type Channel interface {
	Send(context.Context, Notice) error
}

const patience = 20 * time.Second // until a notice is delivered

// Webhook posts each notice as JSON. With a secret the header X-Fieldsync-Signature is "sha256=" and the HMAC-SHA256 of
// X-Fieldsync-Timestamp (seconds since 1970), a dot and the body, in hex.
type Webhook struct {
	URL    string
	Secret string
	Now    func() time.Time
	Client *http.Client // nil: one that verifies certificates and follows no redirect
}

func (h *Webhook) Send(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	header := http.Header{}
	if h.Secret != "" {
		at := strconv.FormatInt(h.Now().Unix(), 10)
		sum := hmac.New(sha256.New, []byte(h.Secret))
		fmt.Fprintf(sum, "%s.%s", at, body)
		header.Set("X-Fieldsync-Timestamp", at)
		header.Set("X-Fieldsync-Signature", "sha256="+hex.EncodeToString(sum.Sum(nil)))
	}
	return post(ctx, h.Client, h.URL, header, body)
}

// Slack posts each notice as text, in the shape of Slack's incoming webhooks
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/), which Mattermost, Rocket.Chat and
// others take too.
type Slack struct {
	URL    string
	Client *http.Client
}

func (s *Slack) Send(ctx context.Context, n Notice) error {
	text := escapeSlack.Replace(n.Text)
	if n.Do != "" {
		text += "\n" + escapeSlack.Replace(n.Do)
	}
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	return post(ctx, s.Client, s.URL, http.Header{}, body)
}

// The three characters that Slack's text gives a meaning.
var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func post(ctx context.Context, client *http.Client, to string, header http.Header, body []byte) error {
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is not a URL")
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		// The path of such an address is often the whole of its secret.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("post to %s: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // read, so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post to %s: it answers %s", req.URL.Host, res.Status)
	}
	return nil
}

// Email sends each notice as a message of plain text. TLS is required, but for a server on this machine.
type Email struct {
	Server             string // HOST:PORT; 465 is TLS from the start, others STARTTLS
	Username, Password string
	From               string
	To                 []string
}

func (e *Email) Send(ctx context.Context, n Notice) error {
	host, service, err := net.SplitHostPort(e.Server)
	if err != nil {
		return fmt.Errorf("the mail server is HOST:PORT: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return fmt.Errorf("the port of the mail server is a number: %w", err)
	}
	m := mail.NewMsg()
	if err := m.From(e.From); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := m.To(e.To...); err != nil {
		return fmt.Errorf("recipients: %w", err)
	}
	subject, _, _ := strings.Cut(n.Text, "\n")
	m.Subject("fieldsync: " + shorten(subject, 120))
	m.SetDate()
	m.SetMessageID()
	text := n.Text + "\n"
	if n.Do != "" {
		text += "\n" + n.Do + "\n"
	}
	m.SetBodyString(mail.TypeTextPlain, text)
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(patience), mail.WithTLSPolicy(mail.TLSMandatory)}
	ip := net.ParseIP(host)
	switch {
	case port == 465:
		options = append(options, mail.WithSSL())
	case host == "localhost" || ip != nil && ip.IsLoopback():
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if e.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.Username), mail.WithPassword(e.Password))
	}
	c, err := mail.NewClient(host, options...)
	if err != nil {
		return fmt.Errorf("mail through %s: %w", e.Server, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("mail through %s: %w", e.Server, err)
	}
	return nil
}

func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
