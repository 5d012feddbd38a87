package mapping

import (
	"net"
	"net/mail"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/fieldsync/fieldsync/connectors"
)

// A Notify block names people to be told of what goes wrong, and how they are reached.
type Notify struct {
	Kind, Name string        // kind: "webhook", "slack" or "email"
	On         []string      // of late, stuck, stopped, refused
	Late       time.Duration // without a good run
	Stuck      time.Duration // that a hold or a conflict has waited
	Again      time.Duration // until what lasts is said once more

	Settings NotifySettings
	Missing  []string // environment variables that its settings name and that are not set: it tells nobody
	Range    hcl.Range
}

// NotifySettings are those of all kinds; each kind has its own of them.
type NotifySettings struct {
	URL    connectors.Secret `hcl:"url,optional"`    // webhook, slack: the path of such an address is its secret
	Secret connectors.Secret `hcl:"secret,optional"` // webhook: signs what is sent

	Server   string            `hcl:"server,optional"` // email
	Username string            `hcl:"username,optional"`
	Password connectors.Secret `hcl:"password,optional"`
	From     string            `hcl:"from,optional"`
	To       []string          `hcl:"to,optional"`

	On    []string       `hcl:"on,optional"`
	Late  hcl.Expression `hcl:"late,optional"`
	Stuck hcl.Expression `hcl:"stuck,optional"`
	Again hcl.Expression `hcl:"again,optional"`
}

var notifyKinds = map[string][]string{
	"webhook": {"url", "secret"},
	"slack":   {"url"},
	"email":   {"server", "username", "password", "from", "to"},
}

var (
	notices = []string{"late", "stuck", "stopped", "refused"}
	always  = []string{"on", "late", "stuck", "again"}
)

func (l *loader) notifies(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		n := &Notify{Kind: b.Labels[0], Name: b.Labels[1], Range: b.DefRange, On: notices, Late: time.Hour, Stuck: 24 * time.Hour, Again: 24 * time.Hour}
		if !l.unique(seen, "notify", b) || !l.label(n.Name, "notify", b.LabelRanges[1]) {
			continue
		}
		own := notifyKinds[n.Kind]
		if own == nil {
			l.fail(b.LabelRanges[0], "Unknown way to notify", "There is no way %q to tell people: it is webhook, slack or email.%s", n.Kind, suggestion(n.Kind, []string{"webhook", "slack", "email"}))
			continue
		}
		if attrs := l.only(b, slices.Concat(own, always)...); attrs != nil {
			l.notify(n, b, attrs)
		}
		l.cfg.Notify = append(l.cfg.Notify, n)
	}
}

func (l *loader) notify(n *Notify, b *hcl.Block, attrs map[string]*hcl.Attribute) {
	at := func(name string) hcl.Range {
		if a := attrs[name]; a != nil {
			return a.Expr.Range()
		}
		return n.Range
	}
	set := &n.Settings
	diags := gohcl.DecodeBody(lenient{b.Body, reflect.TypeFor[*NotifySettings]()}, l.context(&n.Missing), set)
	l.add(slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Unsupported argument" })...) // l.only said it better
	slices.Sort(n.Missing)
	n.Missing = slices.Compact(n.Missing)
	l.cfg.Secrets = append(l.cfg.Secrets, secrets(reflect.ValueOf(set))...)
	for name, to := range map[string]*time.Duration{"late": &n.Late, "stuck": &n.Stuck, "again": &n.Again} {
		if a := attrs[name]; a != nil {
			if d, ok := l.duration(a.Expr, time.Minute); ok {
				*to = d
			}
		}
	}
	if attrs["on"] != nil {
		n.On = set.On
		for _, word := range n.On {
			if !slices.Contains(notices, word) {
				l.fail(at("on"), "Unknown notice", "%q is not something to tell of; write some of %s.%s", word, allOf(notices), suggestion(word, notices))
			}
		}
	}
	if diags.HasErrors() {
		return
	}
	if len(n.Missing) > 0 {
		l.add(warn(n.Range, "Environment variable not set", "The notify %q tells nobody before %s is set.", n.Name, strings.Join(n.Missing, ", ")))
		return
	}
	switch n.Kind {
	case "email":
		if _, _, err := net.SplitHostPort(set.Server); err != nil {
			l.fail(at("server"), "Not a mail server", "server is HOST:PORT of the mail server, such as \"smtp.example.com:587\".")
		}
		if len(set.To) == 0 {
			l.fail(at("to"), "Nobody to tell", "to lists the addresses that are told, such as [\"ops@example.com\"].")
		}
		for name, list := range map[string][]string{"from": {set.From}, "to": set.To} {
			for _, a := range list {
				if _, err := mail.ParseAddress(a); err != nil {
					l.fail(at(name), "Not an address", "%q is not an e-mail address.", a)
				}
			}
		}
	default:
		// What the address says is not shown: the path of such an address is its secret.
		if u, err := url.Parse(string(set.URL)); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
			l.fail(at("url"), "Not an address", "url is the https:// address that the receiver gave you; http:// is for this machine only.")
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
