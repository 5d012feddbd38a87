package mapping

import (
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/schedule"
)

// Serve is the serve block: how fieldsync serve is reached, and who may do what there.
type Serve struct {
	URL        string            `hcl:"url,optional"` // that browsers know it by
	Loopback   string            `hcl:"loopback,optional"`
	SessionKey connectors.Secret `hcl:"session_key,optional"`
	TLS        *TLS              `hcl:"tls,block"`
	Tokens     []Token           `hcl:"token,block"`
	Certs      []Cert            `hcl:"certificate,block"`
	OIDC       *OIDC             `hcl:"oidc,block"`

	Missing []string  // environment variables, files and answers of commands that it needs and that are not there
	Range   hcl.Range // zero: there is no such block
}

// TLS is how the service proves who it is. Files are read again when they have changed.
type TLS struct {
	Certificate string `hcl:"certificate"`
	Key         string `hcl:"key"`
	Clients     string `hcl:"clients,optional"` // authorities that certificates of callers come from
}

// A Token is a token block. Only the hash of a token is in the mapping.
type Token struct {
	Name string `hcl:"name,label"`
	Hash string `hcl:"hash"`
	Role string `hcl:"role"`
}

// A Cert is a certificate block: a caller by a name that its certificate bears.
type Cert struct {
	Name string `hcl:"name,label"`
	Role string `hcl:"role"`
}

// OIDC is the identity provider that people log in at.
type OIDC struct {
	Issuer       string            `hcl:"issuer"`
	ClientID     string            `hcl:"client_id"`
	ClientSecret connectors.Secret `hcl:"client_secret,optional"`
	Scopes       []string          `hcl:"scopes,optional"`
	Claim        string            `hcl:"claim,optional"` // default "groups"
	Roles        map[string]string `hcl:"roles"`          // by word of the claim
}

// LogIns reports whether there is any way to log in.
func (s *Serve) LogIns() bool {
	return len(s.Tokens) > 0 || s.OIDC != nil || len(s.Certs) > 0 && s.TLS != nil && s.TLS.Clients != ""
}

func (l *loader) serve(blocks hcl.Blocks) {
	set := &l.cfg.Serve
	for i, b := range blocks {
		if i > 0 {
			l.fail(b.DefRange, "Second serve block", "The service is described at %s already. Put both into one block.", at(blocks[0].DefRange))
			continue
		}
		set.Range = b.DefRange
		diags := gohcl.DecodeBody(lenient{b.Body, reflect.TypeFor[Serve]()}, l.context(&set.Missing), set)
		if body, ok := b.Body.(*hclsyntax.Body); ok {
			l.add(unknownSettings("serve block", reflect.TypeFor[Serve](), body).instead(diags)...)
			if !diags.HasErrors() {
				l.checkServe(set, body)
			}
		}
		slices.Sort(set.Missing)
		if set.Missing = slices.Compact(set.Missing); len(set.Missing) > 0 {
			l.add(warn(set.Range, "Environment variable not set", "fieldsync serve does not start before %s is set.", strings.Join(set.Missing, ", ")))
		}
		l.cfg.Secrets = append(l.cfg.Secrets, secrets(reflect.ValueOf(set))...)
	}
}

// places finds where the settings of blocks stand.
type places struct{ body *hclsyntax.Body }

func (p places) of(setting string) hcl.Range {
	if a := p.body.Attributes[setting]; a != nil {
		return a.Expr.Range()
	}
	return p.body.MissingItemRange()
}

// blocks are those of a kind, in the order of the file.
func (p places) blocks(kind string) (list []*hclsyntax.Block) {
	for _, b := range p.body.Blocks {
		if b.Type == kind {
			list = append(list, b)
		}
	}
	return list
}

func (l *loader) checkServe(set *Serve, body *hclsyntax.Body) {
	at := places{body}
	if set.URL != "" {
		u, err := url.Parse(set.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			l.fail(at.of("url"), "Not an address", "url is the address that browsers know the service by, without a path: \"https://fieldsync.example.com\".")
		}
	}
	if set.Loopback != "" && set.Loopback != "nobody" {
		l.role(set.Loopback, at.of("loopback"), "nobody")
	}
	if len(set.SessionKey) > 0 && len(set.SessionKey) < 32 {
		l.fail(at.of("session_key"), "Session key too short", "Sessions are sealed with it: write at least 32 random characters, such as openssl rand -hex 32 prints.")
	}
	if set.TLS != nil {
		at := places{at.blocks("tls")[0].Body}
		for name, file := range map[string]*string{"certificate": &set.TLS.Certificate, "key": &set.TLS.Key, "clients": &set.TLS.Clients} {
			if *file == "" {
				continue
			}
			*file = l.path(*file)
			if _, err := os.Stat(*file); err != nil {
				l.add(warn(at.of(name), "File not there", "fieldsync serve needs it: %v.", err))
			}
		}
	}
	seen := map[string]hcl.Range{}
	for i, b := range at.blocks("token") {
		t, at := set.Tokens[i], places{b.Body}
		l.unique(seen, "token", b.AsHCLBlock())
		l.role(t.Role, at.of("role"))
		if _, err := access.ParseHash(t.Hash); err != nil {
			l.fail(at.of("hash"), "Not a hash", "%s; fieldsync token %s --role %s makes a token and prints this block.", capital(err.Error()), t.Name, "look")
		}
	}
	seen = map[string]hcl.Range{}
	for i, b := range at.blocks("certificate") {
		l.unique(seen, "certificate", b.AsHCLBlock())
		l.role(set.Certs[i].Role, places{b.Body}.of("role"))
		if set.TLS == nil || set.TLS.Clients == "" {
			l.fail(b.DefRange(), "Nobody vouches for certificates", "Name the authorities that the certificates of callers come from: tls { clients = \"ca.pem\" … }.")
		}
	}
	if o := set.OIDC; o != nil {
		at := places{at.blocks("oidc")[0].Body}
		if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
			l.fail(at.of("issuer"), "Not an address", "issuer is the https:// address of the identity provider, as its discovery document has it.")
		}
		if o.Claim == "" {
			o.Claim = "groups"
		}
		for _, role := range o.Roles {
			l.role(role, at.of("roles"))
		}
		if len(o.Roles) == 0 {
			l.fail(at.of("roles"), "Nobody may come in", "Say what a word of the claim %s allows: roles = { \"sync-ops\" = \"run\" }.", o.Claim)
		}
		if set.URL == "" {
			l.fail(body.MissingItemRange(), "Address of the service missing", "The identity provider sends people back to it: url = \"https://fieldsync.example.com\".")
		}
	}
}

// role says what is wrong with the name of a role; more are words that stand beside them.
func (l *loader) role(name string, at hcl.Range, more ...string) {
	if _, err := access.ParseRole(name); err != nil {
		words := append(more, access.Look.String(), access.Decide.String(), access.Run.String())
		l.fail(at, "Unknown role", "%q is no role; write %s.%s", name, oneOf(words), suggestion(name, words))
	}
}

// Backup is the backup block: copies of the state on a schedule.
type Backup struct {
	Schedule string
	Timezone *time.Location
	Dir      string // relative to the working directory
	Keep     int    // copies
}

var backupSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "schedule"}, {Name: "timezone"}, {Name: "dir"}, {Name: "keep"}}}

// defaultKeep is two weeks of nightly copies.
const defaultKeep = 14

func (l *loader) backup(blocks hcl.Blocks) {
	for i, b := range blocks {
		if i > 0 {
			l.fail(b.DefRange, "Second backup block", "The backup stands at %s already.", at(blocks[0].DefRange))
			continue
		}
		content, diags := b.Body.Content(backupSchema)
		l.add(diags...)
		if content == nil {
			continue
		}
		k := &Backup{Schedule: "0 2 * * *", Timezone: time.UTC, Dir: l.path("backups"), Keep: defaultKeep}
		attrs := content.Attributes
		if a := attrs["timezone"]; a != nil {
			if zone, ok := l.zone(a.Expr); ok {
				k.Timezone = zone
			}
		}
		if a := attrs["schedule"]; a != nil {
			if s, ok := l.text(a.Expr); ok {
				if _, err := schedule.Parse(s, k.Timezone); err != nil {
					l.fail(a.Expr.Range(), "Not a schedule", "%s. Schedules look like \"0 2 * * *\".", capital(err.Error()))
				} else {
					k.Schedule = s
				}
			}
		}
		if a := attrs["dir"]; a != nil {
			if s, ok := l.text(a.Expr); ok {
				k.Dir = l.path(s)
			}
		}
		if a := attrs["keep"]; a != nil {
			v, diags := a.Expr.Value(l.ctx)
			l.add(diags...)
			var n int
			if !diags.HasErrors() && (gohcl.DecodeExpression(a.Expr, l.ctx, &n).HasErrors() || n < 1 || v.IsNull()) {
				l.fail(a.Expr.Range(), "Not a number of copies", "keep is how many copies are kept: a whole number from 1.")
			} else if n > 0 {
				k.Keep = n
			}
		}
		l.cfg.Settings.Backup = k
	}
}
