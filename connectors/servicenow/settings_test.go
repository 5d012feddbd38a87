package servicenow_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
)

func TestAddressesAsOperatorsPasteThem(t *testing.T) {
	const acme = "https://acme.service-now.com"
	for _, c := range []struct{ name, in, root, version, table string }{
		{"the instance", "https://acme.service-now.com", acme, "", ""},
		{"a slash at the end", "https://acme.service-now.com/", acme, "", ""},
		{"spaces around it", "  https://acme.service-now.com \n", acme, "", ""},
		{"the name alone", "acme", acme, "", ""},
		{"the name in capitals", "ACME", acme, "", ""},
		{"a name with a number", "dev12345", "https://dev12345.service-now.com", "", ""},
		{"the host alone", "acme.service-now.com", acme, "", ""},
		{"host and table without a scheme", "acme.service-now.com/api/now/table/incident", acme, "", "incident"},
		{"a table", "https://acme.service-now.com/api/now/table/incident", acme, "", "incident"},
		{"a table with a slash", "https://acme.service-now.com/api/now/table/incident/", acme, "", "incident"},
		{"doubled slashes", "https://acme.service-now.com//api//now/table//incident", acme, "", "incident"},
		{"a table in version 1", "https://acme.service-now.com/api/now/v1/table/incident", acme, "v1", "incident"},
		{"a table in version 2", "https://acme.service-now.com/api/now/v2/table/u_ticket", acme, "v2", "u_ticket"},
		{"a record", "https://acme.service-now.com/api/now/table/incident/9c573169c611228700193229fff72400", acme, "", "incident"},
		{"a table with harmless parameters", "https://acme.service-now.com/api/now/table/incident?sysparm_limit=1", acme, "", "incident"},
		{"the API", "https://acme.service-now.com/api/now", acme, "", ""},
		{"the API with a version", "https://acme.service-now.com/api/now/v2/", acme, "v2", ""},
		{"the root of the API", "https://acme.service-now.com/api", acme, "", ""},
		{"the table API", "https://acme.service-now.com/api/now/table", acme, "", ""},
		{"a prefix", "https://gw.example.com/snow/api/now/table/incident", "https://gw.example.com/snow", "", "incident"},
		{"a prefix alone", "https://gw.example.com/it/snow/", "https://gw.example.com/it/snow", "", ""},
		{"a prefix with a space", "https://gw.example.com/my%20snow/api/now", "https://gw.example.com/my%20snow", "", ""},
		{"a custom domain with a port", "https://Tickets.Example.com:8443", "https://tickets.example.com:8443", "", ""},
		{"a list in the browser", "https://acme.service-now.com/incident_list.do?sysparm_view=ess", acme, "", "incident"},
		{"the classic frame", "https://acme.service-now.com/nav_to.do?uri=incident_list.do", acme, "", "incident"},
		{"the new frame", "https://acme.service-now.com/now/nav/ui/classic/params/target/incident_list.do%3Fsysparm_query%3Dactive", acme, "", "incident"},
		{"the home page", "https://acme.service-now.com/navpage.do", acme, "", ""},
		{"a log-in page", "https://acme.service-now.com/login.do", acme, "", ""},
		{"loopback without TLS", "http://127.0.0.1:8080/api/now/table/incident", "http://127.0.0.1:8080", "", "incident"},
		{"loopback of the newer kind", "http://[::1]:8080", "http://[::1]:8080", "", ""},
		{"localhost", "http://localhost:8080", "http://localhost:8080", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, version, table, err := servicenow.ParseAddress(c.in, false)
			if err != nil {
				t.Fatal(err)
			}
			if root != c.root || version != c.version || table != c.table {
				t.Errorf("%q is root %q, version %q, table %q; want %q, %q, %q", c.in, root, version, table, c.root, c.version, c.table)
			}
		})
	}
}

func TestWhatTellsOneSystemFromAnother(t *testing.T) {
	shown := func(change func(*servicenow.Settings)) any {
		s := &servicenow.Settings{URL: "https://acme.service-now.com", Auth: servicenow.Auth{Kind: "basic", Username: "u", Password: "p"}}
		change(s)
		is, secrets := s.Veil()
		if len(secrets) > 0 {
			t.Errorf("secrets in the settings themselves: %q", secrets)
		}
		return reflect.ValueOf(is).Elem().Interface()
	}
	one := shown(func(*servicenow.Settings) {})
	for name, change := range map[string]func(*servicenow.Settings){
		"the name of the instance":     func(s *servicenow.Settings) { s.URL = "acme" },
		"the table address":            func(s *servicenow.Settings) { s.URL = "https://ACME.service-now.com:443/api/now/v2/table/incident" },
		"a list in the browser":        func(s *servicenow.Settings) { s.URL = "https://acme.service-now.com/incident_list.do" },
		"another password":             func(s *servicenow.Settings) { s.Auth.Password = "q" },
		"more rows a page, in batches": func(s *servicenow.Settings) { s.PageSize, s.Batch, s.Lag = 900, 20, "1s" },
	} {
		if is := shown(change); is != one {
			t.Errorf("%s makes another system: %v", name, is)
		}
	}
	for name, change := range map[string]func(*servicenow.Settings){
		"another instance":      func(s *servicenow.Settings) { s.URL = "https://acmetest.service-now.com" },
		"another port":          func(s *servicenow.Settings) { s.URL = "https://acme.service-now.com:8443" },
		"another account":       func(s *servicenow.Settings) { s.Auth.Username = "v" },
		"another way to log in": func(s *servicenow.Settings) { s.Auth.Kind = "api_key" },
	} {
		if is := shown(change); is == one {
			t.Errorf("%s is the same system", name)
		}
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"nothing", " ", "empty"},
		{"no TLS to another machine", "http://acme.service-now.com", "unencrypted"},
		{"credentials", "https://admin:hunter2@acme.service-now.com", "credentials"},
		{"another scheme", "ftp://acme.service-now.com", "scheme"},
		{"another API", "https://acme.service-now.com/api/now/import/u_x", "import"},
		{"a query", "https://acme.service-now.com/api/now/table/incident?sysparm_query=active=true", "query"},
		{"a table that cannot be", "https://acme.service-now.com/api/now/table/in-cident", "in-cident"},
		{"no host", "https:///api/now", "cannot be read"},
		{"broken", "https://acme.service-now.com:port%zz", "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, _, err := servicenow.ParseAddress(c.in, false)
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), c.says) || connectors.Hint(err) == "" {
				t.Errorf("%q: the error is %v with hint %q; want ErrConfig with %q", c.in, err, connectors.Hint(err), c.says)
			}
			if err != nil && strings.Contains(err.Error()+connectors.Hint(err), "hunter2") {
				t.Error("the message holds the password")
			}
		})
	}
	if _, _, _, err := servicenow.ParseAddress("http://acme.example.com", true); err != nil {
		t.Errorf("insecure_http: %v", err)
	}
}

func TestSettingsAreDecodedAndChecked(t *testing.T) {
	for _, c := range []struct{ name, body, says string }{
		{"basic", `url = "acme"
			auth "basic" {
			  username = "u"
			  password = "p"
			}`, ""},
		{"an API key, and all else", `url = "acme"
			page_size = 100
			lag = "10s"
			overlap = "3m"
			language = "nl"
			insecure_http = true
			auth "api_key" {
			  key = "k"
			}`, ""},
		{"oauth of an application", `url = "acme"
			auth "oauth" {
			  grant = "client_credentials"
			  client_id = "x"
			  client_secret = "y"
			  scope = "useraccount"
			}`, ""},
		{"oauth by password, with tokens from elsewhere", `url = "acme"
			auth "oauth" {
			  grant = "password"
			  client_id = "x"
			  client_secret = "y"
			  username = "u"
			  password = "p"
			  token_url = "https://login.example.com/token"
			}`, ""},
		{"oauth with a refresh token", `url = "acme"
			auth "oauth" {
			  grant = "refresh_token"
			  client_id = "x"
			  client_secret = "y"
			  refresh_token = "r"
			}`, ""},
		{"oauth without a grant", `url = "acme"
			auth "oauth" {
			  client_id = "x"
			  client_secret = "y"
			}`, "no grant"},
		{"oauth with a grant that is none", `url = "acme"
			auth "oauth" {
			  grant = "implicit"
			  client_id = "x"
			  client_secret = "y"
			}`, `"implicit"`},
		{"oauth by password without one", `url = "acme"
			auth "oauth" {
			  grant = "password"
			  client_id = "x"
			  client_secret = "y"
			  username = "u"
			}`, "no password"},
		{"oauth of an application with a user", `url = "acme"
			auth "oauth" {
			  grant = "client_credentials"
			  client_id = "x"
			  client_secret = "y"
			  username = "u"
			}`, "another kind"},
		{"oauth with a key that is none", `url = "acme"
			auth "oauth" {
			  grant = "jwt_bearer"
			  client_id = "x"
			  client_secret = "y"
			  username = "u"
			  key = "-----BEGIN NONSENSE-----"
			}`, "not a private key"},
		{"a token endpoint without TLS", `url = "acme"
			auth "oauth" {
			  grant = "client_credentials"
			  client_id = "x"
			  client_secret = "y"
			  token_url = "http://login.example.com/token"
			}`, "unencrypted"},
		{"a token endpoint with credentials", `url = "acme"
			auth "oauth" {
			  grant = "client_credentials"
			  client_id = "x"
			  client_secret = "y"
			  token_url = "https://x:hunter2@login.example.com/token"
			}`, "holds credentials"},
		{"a grant as a kind", `url = "acme"
			auth "password" {
			  client_id = "x"
			}`, "not known"},
		{"basic with a token endpoint", `url = "acme"
			auth "basic" {
			  username = "u"
			  password = "p"
			  token_url = "https://login.example.com/token"
			}`, "another kind"},
		{"an unknown kind", `url = "acme"
			auth "token" {
			  key = "k"
			}`, "not known"},
		{"no password", `url = "acme"
			auth "basic" {
			  username = "u"
			}`, "no password"},
		{"two kinds in one", `url = "acme"
			auth "basic" {
			  username = "u"
			  password = "p"
			  key = "k"
			}`, "another kind"},
		{"an API key with a user", `url = "acme"
			auth "api_key" {
			  username = "u"
			  key = "k"
			}`, "another kind"},
		{"a table that is written by import set", `url = "acme"
			auth "api_key" {
			  key = "k"
			}
			collection "incident" {
			  import_set = "u_staging_incident"
			  coalesce   = "correlation_id"
			  columns    = { short_description = "u_title" }
			}`, ""},
		{"a collection that is as all others", `url = "acme"
			auth "api_key" {
			  key = "k"
			}
			collection "incident" {
			}`, "no import_set"},
		{"two blocks for one collection", `url = "acme"
			auth "api_key" {
			  key = "k"
			}
			collection "incident" {
			  import_set = "u_a"
			}
			collection "incident" {
			  import_set = "u_b"
			}`, "two blocks"},
		{"two fields in one column", `url = "acme"
			auth "api_key" {
			  key = "k"
			}
			collection "incident" {
			  import_set = "u_a"
			  columns    = { urgency = "u_x", impact = "u_x" }
			}`, "u_x"},
		{"a page of nothing", `url = "acme"
			page_size = -1
			auth "api_key" {
			  key = "k"
			}`, "page_size"},
		{"a lag without a unit", `url = "acme"
			lag = "5"
			auth "api_key" {
			  key = "k"
			}`, "lag"},
		{"a negative overlap", `url = "acme"
			overlap = "-5s"
			auth "api_key" {
			  key = "k"
			}`, "overlap"},
		{"a language that is a query", `url = "acme"
			language = "en^ORactive=true"
			auth "api_key" {
			  key = "k"
			}`, "language"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, diags := hclparse.NewParser().ParseHCL([]byte(c.body), "test.hcl")
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			s := servicenow.New()
			if diags := gohcl.DecodeBody(f.Body, nil, s); diags.HasErrors() {
				t.Fatal(diags)
			}
			_, err := s.Open(connectors.Env{})
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (!errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("the error is %v, want ErrConfig with %q", err, c.says)
			}
		})
	}
}
