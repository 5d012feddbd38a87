package mapping

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Webhook is a webhook block of a connection: its system tells of changed records of one collection.
type Webhook struct {
	Collection string
	Signature  access.Signature
	Missing    []string // what its secret needs and is not there: nothing is taken
	Range      hcl.Range

	keys *expression.Program // nil: the members key and keys of the body
}

// webhookSettings are what stands in the block.
type webhookSettings struct {
	Secret    connectors.Secret  `hcl:"secret"`
	Keys      hcl.Expression     `hcl:"keys,optional"`
	Signature *signatureSettings `hcl:"signature,block"`
}

type signatureSettings struct {
	Header    string `hcl:"header"`
	Prefix    string `hcl:"prefix,optional"`
	Algorithm string `hcl:"algorithm,optional"`
	Timestamp string `hcl:"timestamp,optional"`
	Signed    string `hcl:"signed,optional"`
}

var placeholders = regexp.MustCompile(`\{(timestamp|body)\}`)

// leastSecret is how long the secret of a webhook has to be: anybody may send guesses.
const leastSecret = 12

func (l *loader) webhooks(c *Connection, blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		w := &Webhook{Collection: b.Labels[0], Signature: access.Own, Range: b.DefRange}
		if !l.unique(seen, "webhook", b) {
			continue
		}
		set := webhookSettings{}
		diags := gohcl.DecodeBody(b.Body, l.context(&w.Missing), &set)
		body, ok := b.Body.(*hclsyntax.Body)
		if !ok {
			l.add(diags...)
			continue
		}
		l.add(unknownSettings("webhook block", reflect.TypeFor[webhookSettings](), body).instead(diags)...)
		if diags.HasErrors() {
			continue
		}
		at := places{body}
		w.Signature.Secret = set.Secret.Reveal()
		c.Secrets = append(c.Secrets, w.Signature.Secret)
		slices.Sort(w.Missing)
		if w.Missing = slices.Compact(w.Missing); len(w.Missing) > 0 {
			l.add(warn(b.DefRange, "Environment variable not set", "Nothing is taken from this webhook before %s is set.", strings.Join(w.Missing, ", ")))
		} else if len(set.Secret) < leastSecret {
			l.fail(at.of("secret"), "Secret too short", "Everybody who knows it can wake syncs: write at least %d random characters, such as openssl rand -hex 32 prints.", leastSecret)
		}
		if s := set.Signature; s != nil {
			l.signature(w, s, places{at.blocks("signature")[0].Body})
		}
		if a := body.Attributes["keys"]; a != nil {
			src := expression.Within(a.Expr, l.cfg.Files[a.Expr.Range().Filename].Bytes)
			scope := expression.Scope{Locals: l.plainLocals(), Functions: l.functions, Vars: []expression.Variable{
				{Name: "body", Fields: map[string]record.Type{"": {}}},
				{Name: "header", Open: true, Rest: record.Type{Kind: record.Text}}}}
			var diags hcl.Diagnostics
			w.keys, diags = expression.Compile(src, l.ctx, scope, expression.Any)
			l.add(diags...)
		}
		c.Webhooks = append(c.Webhooks, w)
	}
}

// signature takes over how a system signs in its own way.
func (l *loader) signature(w *Webhook, s *signatureSettings, at places) {
	w.Signature.Header, w.Signature.Prefix, w.Signature.Timestamp, w.Signature.Signed = s.Header, s.Prefix, s.Timestamp, s.Signed
	if s.Algorithm != "" {
		w.Signature.Algorithm = s.Algorithm
	}
	if !slices.Contains(access.Algorithms, w.Signature.Algorithm) {
		l.fail(at.of("algorithm"), "Unknown algorithm", "%q is no way to sign; write %s.%s", s.Algorithm, oneOf(access.Algorithms), suggestion(s.Algorithm, access.Algorithms))
	}
	for name, header := range map[string]string{"header": s.Header, "timestamp": s.Timestamp} {
		if name == "header" && header == "" || strings.ContainsAny(header, " :\r\n\t") {
			l.fail(at.of(name), "Not a header", "%s is the name of a header, such as \"X-Hub-Signature-256\".", name)
		}
	}
	plain := w.Signature.Algorithm == "plain"
	switch {
	case plain && s.Timestamp+s.Signed != "":
		l.fail(at.of("algorithm"), "Nothing is signed", "With plain the header holds the secret itself; take timestamp and signed out.")
	case plain:
	case s.Signed == "" && s.Timestamp == "":
		w.Signature.Signed = "{body}"
	case s.Signed == "":
		w.Signature.Signed = access.Own.Signed
	case !strings.Contains(s.Signed, "{body}") || strings.ContainsAny(placeholders.ReplaceAllString(s.Signed, ""), "{}"):
		l.fail(at.of("signed"), "Unknown text to sign", "signed says what the signature is of, with {body} and {timestamp} in it: \"{timestamp}.{body}\".")
	case strings.Contains(s.Signed, "{timestamp}") != (s.Timestamp != ""):
		l.fail(at.of("signed"), "Timestamp and signature do not fit", "Name the header of the timestamp, and put {timestamp} into signed: what is not signed proves nothing.")
	}
}

// errNoKey says that a webhook names no record in the way that was agreed.
var errNoKey = errors.New("it names no record: without keys in the webhook block, its body is {\"key\": \"…\"} or {\"keys\": [\"…\"]}")

// Keys are the records that a webhook names, from its body as decoded JSON.
func (w *Webhook) Keys(body any, header http.Header) ([]string, error) {
	if w.keys == nil {
		m, _ := body.(map[string]any)
		if list, ok := m["keys"]; ok {
			return keysOf(list)
		}
		if key, ok := m["key"]; ok {
			return keysOf(key)
		}
		return nil, errNoKey
	}
	v, err := w.keys.Run(map[string]expression.Getter{
		"body": func(string) record.Value {
			v, err := record.Of(body)
			if err != nil {
				return record.NullValue
			}
			return v
		},
		"header": func(name string) record.Value {
			if h := header.Get(name); h != "" {
				return record.OfText(h)
			}
			return record.NullValue
		},
	}, time.Time{})
	if err != nil {
		return nil, err
	}
	return keysOf(v.Any())
}

// keysOf reads one key, or a list of them. null names none.
func keysOf(a any) ([]string, error) {
	switch a := a.(type) {
	case nil:
		return nil, nil
	case []any:
		var keys []string
		for _, one := range a {
			if _, list := one.([]any); list {
				return nil, errors.New("a key is a list")
			}
			more, err := keysOf(one)
			if err != nil {
				return nil, err
			}
			keys = append(keys, more...)
		}
		return keys, nil
	case map[string]any, bool:
		return nil, fmt.Errorf("a key is text or a number, not %v", reflect.TypeOf(a))
	}
	v, err := record.Of(a)
	if err != nil {
		return nil, err
	}
	if v.Plain() == "" {
		return nil, nil
	}
	return []string{v.Plain()}, nil
}
