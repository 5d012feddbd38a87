package mapping_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// sound is a small configuration without mistakes, for breaking one thing at a time.
const sound = `
connection "sql" "desk" {
  driver = "sqlite"
  dsn    = "x"
}
connection "servicenow" "prod" {
  url = "https://localhost"
  auth "basic" {
    password = env("SNOW_PASSWORD")
  }
}
translation "state" {
  columns = ["ticket", "incident"]
  rows    = [["new", "1"], ["open", "2"], ["closed", "7"]]
}
sync "main" {
  side "ticket" {
    connection = connection.desk
    collection = "tickets"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
  }
  match {
    ticket   = "id"
    incident = "correlation_id"
  }
  field "title" {
    ticket   = "title"
    incident = "short_description"
  }
}
`

const titleField = `  field "title" {
    ticket   = "title"
    incident = "short_description"
  }
`

// field replaces the only field of sound.
func field(body string) [2]string { return [2]string{titleField, "field \"f\" {\n" + body + "\n}\n"} }

// extra adds something to the end of sound.
func extra(text string) [2]string { return [2]string{"", text} }

func TestMistakesAreShownWhereTheyStand(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  [2]string // what is replaced by what; "" adds at the end
		summary string
		detail  string // part of it
		at      string // exactly the underlined characters
	}{
		// files and blocks
		{"a block of an unknown kind", extra(`synk "x" {}`), "Unsupported block type", `Did you mean "sync"?`, `synk`},
		{"the description of a tool among the rules", extra("collection \"cases\" {}"), "Description of a tool among the mapping files", `system = "systems/sound.hcl"`, `collection "cases"`},
		{"a sync of the same name", extra(`sync "main" {}`), "Second sync of this name", "sound.hcl:16", `"main"`},
		{"a name that is none", extra(`sync "a b" {}`), "Not a name", "letters, digits", `"a b"`},
		{"an argument of a sync that does not exist", [2]string{`sync "main" {`, "sync \"main\" {\n  schedul = \"\""}, "Unsupported argument", `Did you mean "schedule"?`, `schedul`},
		{"a second fieldsync block", extra("fieldsync {}\nfieldsync {}"), "Second fieldsync block", "Put both into one", "fieldsync"},
		{"an address to listen on that is none", extra(`fieldsync { listen = "8440" }`), "Not an address", "HOST:PORT", `"8440"`},
		{"the environment outside a connection", extra(`fieldsync { state = env("DATABASE_URL") }`), "Environment variable not set", "DATABASE_URL is not set", `env("DATABASE_URL")`},
		{"a command outside a connection", extra(`fieldsync { state = command("true") }`), "Error in function call", "where secrets are named", `command(`},

		// connections
		{"an unknown connector", [2]string{`connection "sql"`, `connection "sqll"`}, "Unknown connector", `Did you mean "sql"?`, `"sqll"`},
		{"a setting that is missing", [2]string{`  dsn    = "x"`, ``}, "Missing required argument", `"dsn" is required`, ``},
		{"a required setting by another name", [2]string{`dsn    =`, "dns    ="}, "Unknown setting", `Did you mean "dsn"? It has "collection", "driver", "dsn", "limits" and "webhook".`, `dns`},
		{"a setting of a block of a connection", [2]string{`password = env`, "pasword = env"}, "Unknown setting", `An auth block has no "pasword". Did you mean "password"? It has "password" and "username".`, `pasword`},
		{"a block of a connection that does not exist", [2]string{`dsn    = "x"`, "dsn    = \"x\"\ntable \"t\" {}"}, "Unknown setting", `A connection of type "sql" has`, `table`},
		{"a setting of the wrong name", [2]string{`dsn    =`, "dns = \"x\"\n  dsn    ="}, "Unknown setting", `Did you mean "dsn"?`, `dns`},
		{"a rate without a unit", [2]string{`dsn    = "x"`, "dsn = \"x\"\nlimits { rate = \"20\" }"}, "Not a rate", `"20/s"`, `"20"`},
		{"a concurrency of nothing", [2]string{`dsn    = "x"`, "dsn = \"x\"\nlimits { concurrency = 0 }"}, "Not a number of requests", "from 1", `0`},

		// notify
		{"an unknown way to notify", extra("notify \"slak\" \"ops\" {}"), "Unknown way to notify", `Did you mean "slack"?`, `"slak"`},
		{"a notify of the same name", extra("notify \"slack\" \"ops\" { url = \"https://chat.test/x\" }\nnotify \"webhook\" \"ops\" {}"), "Second notify of this name", "another name", `"ops"`},
		{"an argument of another way to notify", extra("notify \"slack\" \"ops\" {\n url = \"https://chat.test/x\"\n server = \"x:25\"\n}"), "Unexpected argument", `no argument "server"`, `server`},
		{"a notify without TLS", extra("notify \"webhook\" \"ops\" {\n url = \"http://chat.test/x\"\n}"), "Not an address", "https://", `"http://chat.test/x"`},
		{"a mail server without a port", extra("notify \"email\" \"ops\" {\n server = \"smtp.test\"\n from = \"a@b.test\"\n to = [\"c@d.test\"]\n}"), "Not a mail server", "HOST:PORT", `"smtp.test"`},
		{"mail to nobody", extra("notify \"email\" \"ops\" {\n server = \"smtp.test:25\"\n from = \"a@b.test\"\n}"), "Nobody to tell", "ops@example.com", `notify "email" "ops"`},
		{"mail to what is no address", extra("notify \"email\" \"ops\" {\n server = \"smtp.test:25\"\n from = \"a@b.test\"\n to = [\"ops\"]\n}"), "Not an address", `"ops" is not`, `["ops"]`},
		{"a notice of nothing", extra("notify \"slack\" \"ops\" {\n url = \"https://chat.test/x\"\n on = [\"stuk\"]\n}"), "Unknown notice", `Did you mean "stuck"?`, `["stuk"]`},
		{"a notice too soon", extra("notify \"slack\" \"ops\" {\n url = \"https://chat.test/x\"\n late = \"1s\"\n}"), "Not a length of time", "at least 1m0s", `"1s"`},

		// serve
		{"a setting of serve that is not there", extra("serve {\n tokn \"a\" {}\n}"), "Unknown setting", `Did you mean "token"?`, `tokn`},
		{"an address with a path", extra("serve { url = \"https://sync.test/x\" }"), "Not an address", "without a path", `"https://sync.test/x"`},
		{"an address without TLS", extra("serve { url = \"http://sync.test\" }"), "Not an address", "https://", `"http://sync.test"`},
		{"a role that is not there", extra("serve {\n token \"a\" {\n  hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n  role = \"lok\"\n }\n}"), "Unknown role", `Did you mean "look"?`, `"lok"`},
		{"a token instead of its hash", extra("serve {\n token \"a\" {\n  hash = \"hunter2\"\n  role = \"look\"\n }\n}"), "Not a hash", "fieldsync token a", `"hunter2"`},
		{"two tokens of a name", extra("serve {\n token \"a\" {\n  hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n  role = \"look\"\n }\n token \"a\" {\n  hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n  role = \"look\"\n }\n}"), "Second token of this name", "another name", `"a"`},
		{"a role of this machine", extra("serve { loopback = \"root\" }"), "Unknown role", `"nobody"`, `"root"`},
		{"a short session key", extra("serve { session_key = \"hush\" }"), "Session key too short", "32", `"hush"`},
		{"a certificate without an authority", extra("serve {\n certificate \"ops\" { role = \"run\" }\n}"), "Nobody vouches for certificates", "clients", `certificate "ops"`},
		{"an identity provider without TLS", extra("serve {\n url = \"https://sync.test\"\n oidc {\n  issuer = \"http://id.test\"\n  client_id = \"f\"\n  roles = { ops = \"run\" }\n }\n}"), "Not an address", "https://", `"http://id.test"`},
		{"an identity provider without roles", extra("serve {\n url = \"https://sync.test\"\n oidc {\n  issuer = \"https://id.test\"\n  client_id = \"f\"\n  roles = {}\n }\n}"), "Nobody may come in", "groups", `{}`},
		{"a copy at no time", extra("fieldsync {\n backup { schedule = \"at night\" }\n}"), "Not a schedule", "0 2 * * *", `"at night"`},
		{"no copies", extra("fieldsync {\n backup { keep = 0 }\n}"), "Not a number of copies", "from 1", `0`},
		{"two backups", extra("fieldsync {\n backup {}\n backup {}\n}"), "Second backup block", "already", `backup`},

		// webhook
		{"a webhook without a secret", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"tickets\" {\n}"}, "Missing required argument", "secret", ``},
		{"a short secret", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"tickets\" { secret = \"hush\" }"}, "Secret too short", "12", `"hush"`},
		{"two webhooks of a collection", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" { secret = \"0123456789abcdef\" }\nwebhook \"t\" { secret = \"0123456789abcdef\" }"}, "Second webhook of this name", "already", `"t"`},
		{"an unknown setting of a webhook", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nkey = \"body.id\"\n}"}, "Unknown setting", `Did you mean "keys"?`, `key`},
		{"keys that name what is not there", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nkeys = \"bdy.id\"\n}"}, "Unknown name", `Did you mean body?`, `bdy`},
		{"an algorithm that is not there", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nsignature {\nheader = \"X-S\"\nalgorithm = \"sha265\"\n}\n}"}, "Unknown algorithm", `Did you mean "sha256"?`, `"sha265"`},
		{"a stamp that nothing signs", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nsignature {\nheader = \"X-S\"\ntimestamp = \"X-T\"\nsigned = \"{body}\"\n}\n}"}, "Timestamp and signature do not fit", "not signed", `"{body}"`},
		{"a stamp that no header has", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nsignature {\nheader = \"X-S\"\nsigned = \"{timestamp}{body}\"\n}\n}"}, "Timestamp and signature do not fit", "header of the timestamp", `"{timestamp}{body}"`},
		{"a text to sign without the body", [2]string{`dsn    = "x"`, "dsn = \"x\"\nwebhook \"t\" {\nsecret = \"0123456789abcdef\"\nsignature {\nheader = \"X-S\"\nsigned = \"{boby}\"\n}\n}"}, "Unknown text to sign", "{body}", `"{boby}"`},

		// variables, locals, functions
		{"a variable without a value", extra(`variable "queue" {}`), "Variable without a value", "pass --var queue=VALUE", `variable "queue"`},
		{"locals in a circle", extra("locals {\n a = local.b\n b = local.a\n}"), "Locals in a circle", "local.b needs local.a", `local.a`},
		{"a function with a mistake", extra("function \"f\" {\n params = [\"a\"]\n result = \"a +\"\n}"), "", "", ``},
		{"a function with a reserved parameter", extra("function \"f\" {\n params = [\"run\"]\n result = \"1\"\n}"), "Reserved name", "meaning of its own", `"run"`},

		// translations
		{"a translation without rows", extra("translation \"t\" {\n columns = [\"a\", \"b\"]\n}"), "Translation without rows", "lookup block", `translation "t"`},
		{"a translation with one column", extra("translation \"t\" {\n columns = [\"a\"]\n rows = []\n}"), "Two columns needed", "two vocabularies", `["a"]`},
		{"a row with three cells", [2]string{`["open", "2"]`, `["open", "2", "3"]`}, "Not a pair", `one value for "ticket"`, `["open", "2", "3"]`},
		{"the same row twice", [2]string{`["open", "2"]`, `["open", "2"], ["open", "2"]`}, "Second row of this kind", "Remove one", `"open", "2"`},
		{"a table that is not there", extra("translation \"t\" {\n file = \"no.csv\"\n}"), "File cannot be read", "no.csv", `"no.csv"`},
		{"a look-up that does not say where", extra("translation \"t\" {\n columns = [\"a\", \"b\"]\n lookup {\n connection = connection.prod\n collection = \"sys_user\"\n a = \"email\"\n }\n}"), "Missing argument", "does not say b", `lookup`},
		{"a look-up with a path for nobody", extra("translation \"t\" {\n columns = [\"a\", \"b\"]\n lookup {\n connection = connection.prod\n collection = \"sys_user\"\n a = \"email\"\n b = \"x\"\n c = \"y\"\n }\n}"), "Unexpected argument", `no argument "c"`, `c`},
		{"a translation that is not one-to-one on a two-way field", [2]string{titleField, "field \"s\" {\n ticket = \"status\"\n incident = \"state\"\n via = translation.wide\n}\n"}, "Translation is not one-to-one", "lossy = true", `"2"`},

		// sides
		{"one side", [2]string{`side "incident" {
    connection = connection.prod
    collection = "incident"
  }`, ""}, "A sync has two sides", "1 side blocks", `sync "main"`},
		{"an unknown connection", [2]string{"connection.desk", "connection.dask"}, "Unknown connection", `Did you mean "desk"?`, `.dask`},
		{"a connection in quotes", [2]string{"connection.desk", `"desk"`}, "Not a connection", "without quotes", `"desk"`},
		{"a side called like a part of a field", [2]string{`side "ticket"`, `side "when"`}, "Reserved name", "inside a field", `"when"`},
		{"a scope that reads the other side", [2]string{`collection = "tickets"`, "collection = \"tickets\"\n where = \"ticket.a == 'incident' && incident.b == 1\""}, "Wrong side", "may read ticket, not incident", `incident`},
		{"a scope that is no condition", [2]string{`collection = "tickets"`, "collection = \"tickets\"\n where = \"'noc'\""}, "Wrong type of result", "true or false", `'noc'`},

		// match
		{"no match", [2]string{"match {\n    ticket   = \"id\"\n    incident = \"correlation_id\"\n  }", ""}, "Sync without match", "Add a match block", `sync "main"`},
		{"a match of one side", [2]string{"\n    incident = \"correlation_id\"", ""}, "Missing path", `side "incident"`, `match`},
		{"a match of a stranger", [2]string{"    incident = \"correlation_id\"", "    incident = \"correlation_id\"\n    incidnt = \"x\""}, "Unexpected argument", `Did you mean "incident"?`, `incidnt`},

		// the direction of fields
		{"a transform and none back", field("ticket = \"a\"\nincident = \"b\"\nto_incident = \"ticket.a\""), "No way back", `flow = "ticket -> incident"`, `to_incident`},
		{"a two-way flow with one transform", field("flow = \"ticket <-> incident\"\nticket = \"a\"\nincident = \"b\"\nto_incident = \"ticket.a\""), "No way back", `Add to_ticket`, `to_incident`},
		{"a flow to nowhere", field("flow = \"ticket -> alarm\"\nincident = \"b\""), "Unknown side", `There is "ticket" or "incident".`, `"ticket -> alarm"`},
		{"a flow that is none", field("flow = \"ticket\"\nincident = \"b\""), "Not a flow", `"ticket <-> incident"`, `"ticket"`},
		{"a flow to a side without a path", field("flow = \"ticket <- incident\"\nincident = \"b\""), "Nowhere to write", "Add ticket =", `"ticket <- incident"`},
		{"a transform against the flow", field("flow = \"ticket -> incident\"\nticket = \"a\"\nincident = \"b\"\nto_ticket = \"incident.b\""), "Against the flow", "does not lead to ticket", `to_ticket`},
		{"one path and no flow", field("incident = \"b\""), "No flow", `to_incident`, `field "f"`},
		{"one path and nothing to fill it", field("flow = \"ticket -> incident\"\nincident = \"b\""), "Nothing to write", `to_incident`, `field "f"`},
		{"no paths", field(""), "Field without paths", "ticket =", `field "f"`},
		{"a copy of two paths to one", field("ticket = [\"a\", \"b\"]\nincident = \"c\""), "Unequal numbers of paths", "2 paths of ticket to one path", `field "f"`},
		{"a translation of two paths", field("ticket = [\"a\", \"b\"]\nincident = \"c\"\nvia = translation.state"), "One path expected", "takes one path", `translation.state`},
		{"an unknown translation", field("ticket = \"a\"\nincident = \"c\"\nvia = translation.stat"), "Unknown translation", `Did you mean "state"?`, `.stat`},
		{"an argument that does not exist", field("ticket = \"a\"\nincident = \"c\"\nconflikt = \"ask\""), "Unexpected argument", `Did you mean "conflict"?`, `conflikt`},
		{"two rules that write one path", [2]string{titleField, titleField + "field \"g\" {\nflow = \"ticket -> incident\"\nticket = \"x\"\nincident = \"short_description\" # again\n}\n"}, "Two rules write one path", "sound.hcl:31", `"short_description"`},
		{"a field over the marker", [2]string{`collection = "incident"`, "collection = \"incident\"\n create = true\n }\n field \"f\" {\n flow = \"ticket -> incident\"\n ticket = \"alarm\"\n incident = \"correlation_id\""}, "Field writes over the marker", "carries ticket.id", `"correlation_id"`},
		{"a field over the marker of a record that is made again", [2]string{titleField, titleField + "field \"f\" {\n flow = \"ticket -> incident\"\n ticket = \"mail\"\n incident = \"correlation_id\"\n}\non_gone \"incident\" {\n then = \"recreate\"\n}\n"}, "Field writes over the marker", "carries ticket.id", `"correlation_id"`},
		{"a one-way translation with two answers", field("flow = \"ticket <- incident\"\nticket = \"status\"\nincident = \"state\"\nvia = translation.wide"), "Translation is not one-to-one", "Remove a row, or say", `"2"`},
		{"the same path twice", field("ticket = [\"a\", \"a\"]\nincident = [\"c\", \"d\"]"), "Path named twice", "in this list already", `"a"`},

		// policies
		{"an unknown policy", field("ticket = \"a\"\nincident = \"c\"\nconflict = \"newset\""), "Unknown conflict policy", `Did you mean "newest"?`, `"newset"`},
		{"a policy of a one-way field", field("flow = \"ticket -> incident\"\nticket = \"a\"\nincident = \"c\"\nconflict = \"ask\""), "Only for two-way fields", "goes one way", `conflict`},
		{"drift on a two-way field", field("ticket = \"a\"\nincident = \"c\"\ndrift = \"keep\""), "Only for one-way fields", "goes both ways", `drift`},
		{"highest without an order", field("ticket = \"a\"\nincident = \"c\"\nconflict = \"highest\""), "No order", "add order", `"highest"`},
		{"an order without highest", field("ticket = \"a\"\nincident = \"c\"\norder = [\"a\", \"b\"]"), "Order never used", "has neither", `order`},
		{"an order of words that the translation lacks", field("ticket = \"a\"\nincident = \"c\"\nvia = translation.state\nconflict = \"highest\"\norder = [\"new\", \"opem\", \"closed\"]"), "Not in the translation", `Did you mean "open"?`, `"opem"`},
		{"an order over computed values", field("ticket = \"a\"\nincident = \"c\"\nto_ticket = \"incident.c\"\nto_incident = \"ticket.a\"\nconflict = \"highest\"\norder = [\"1\", \"2\"]"), "Order cannot be compared", "resolve", `["1", "2"]`},
		{"a policy and an expression", field("ticket = \"a\"\nincident = \"c\"\nconflict = \"ask\"\nresolve = \"ticket.a\""), "Two policies", "Keep one", `conflict`},
		{"a deadline and nothing after it", field("ticket = \"a\"\nincident = \"c\"\nconflict = \"ask\"\ndeadline = \"72h\""), "Deadline without fallback", "fallback =", `deadline`},
		{"a deadline in words", field("ticket = \"a\"\nincident = \"c\"\nconflict = \"ask\"\nfallback = \"newest\"\ndeadline = \"3 days\""), "Not a length of time", `"72h"`, `"3 days"`},
		{"highest for a whole sync", [2]string{`sync "main" {`, "sync \"main\" {\n  conflict = \"highest\""}, "Unknown conflict policy", `"newest"`, `"highest"`},
		{"a mode of first contact that does not exist", [2]string{`sync "main" {`, "sync \"main\" {\n  first = \"tickets\""}, "Unknown mode of first contact", `Did you mean "ticket"?`, `"tickets"`},

		// expressions
		{"a transform that reads its own side", field("flow = \"ticket -> incident\"\nticket = \"a\"\nincident = \"c\"\nto_incident = \"ticket.a + incident.c\""), "Wrong side", "follows from ticket alone", `incident`},
		{"an expression in a heredoc", field("flow = \"ticket -> incident\"\nincident = \"c\"\nto_incident = <<-EOT\n    ticket.a == 'x' ?\n      incident.c : 'y'\n  EOT\n"), "Wrong side", "not incident", `incident`},
		{"an unknown variable", field("flow = \"ticket -> incident\"\nincident = \"c\"\nto_incident = \"tickt.a\""), "", "ticket", `tickt`},
		{"an expression of what the environment lacks", field("ticket = \"a\"\nincident = \"c\"\nwhen = \"ticket.a == '${env(\"NOPE\")}'\""), "Environment variable not set", "NOPE", `"ticket.a == '${env("NOPE")}'"`},
		{"an expression that is a number", field("ticket = \"a\"\nincident = \"c\"\nwhen = [1]"), "Text expected", "double quotes", `[1]`},
		{"a condition that is text", field("ticket = \"a\"\nincident = \"c\"\nwhen = \"'yes'\""), "Wrong type of result", "true or false", `'yes'`},
		{"a text for two paths", field("flow = \"ticket -> incident\"\nincident = [\"c\", \"d\"]\nto_incident = \"'x'\""), "Wrong type of result", "a list", `'x'`},

		{"a value for both columns", [2]string{titleField, "field \"s\" {\n ticket = \"status\"\n incident = \"state\"\n via = translation.other\n}\n"}, "Unmatched value for both sides", `unmatched = "hold" or "empty", or let the field go one way, flow = "ticket -> incident"`, `translation.other`},
		{"a value for both columns of a live table", [2]string{titleField, "field \"s\" {\n ticket = \"owner\"\n incident = \"assigned_to\"\n via = translation.staff\n}\n"}, "Unmatched value for both sides", `"nobody"`, `translation.staff`},

		// the end of a link, limits, schedules
		{"on_gone of a stranger", [2]string{titleField, titleField + "on_gone \"alarm\" {\n then = \"detach\"\n}\n"}, "Unknown side", `"ticket" or "incident"`, `"alarm"`},
		{"an update of nothing", [2]string{titleField, titleField + "on_gone \"ticket\" {\n then = \"update\"\n}\n"}, "Nothing to update", "set =", `"update"`},
		{"a set without update", [2]string{titleField, titleField + "on_gone \"ticket\" {\n then = \"delete\"\n set = { a = 1 }\n}\n"}, "set without update", `then is "delete"`, `set`},
		{"an unknown answer", [2]string{titleField, titleField + "on_gone \"ticket\" {\n then = \"remove\"\n}\n"}, "Unknown answer to a record that is gone", `"recreate"`, `"remove"`},
		{"a limit that is none", [2]string{titleField, titleField + "limits {\n deletes = \"many\"\n}\n"}, "Not a limit", `"none"`, `"many"`},
		{"a schedule on Sunday the seventh", [2]string{`sync "main" {`, "sync \"main\" {\n  schedule = \"0 0 * * 7\""}, "Not a schedule", "Sunday is 0", `"0 0 * * 7"`},
		{"a schedule on the last day", [2]string{`sync "main" {`, "sync \"main\" {\n  schedule = \"0 0 L * *\""}, "Not a schedule", "name the days", `"0 0 L * *"`},
		{"a schedule on a day that never comes", [2]string{`sync "main" {`, "sync \"main\" {\n  schedule = \"0 0 30 2 *\""}, "Not a schedule", "never due", `"0 0 30 2 *"`},
		{"a schedule of six fields", [2]string{`sync "main" {`, "sync \"main\" {\n  full_scan = \"0 0 0 * * *\""}, "Not a schedule", "6 fields", `"0 0 0 * * *"`},
		{"a schedule that is faster than a second", [2]string{`sync "main" {`, "sync \"main\" {\n  schedule = \"@every 10ms\""}, "Not a schedule", "@every 1s", `"@every 10ms"`},
		{"a zone inside a schedule", [2]string{`sync "main" {`, "sync \"main\" {\n  schedule = \"TZ=\""}, "Not a schedule", "timezone", `"TZ="`},
		{"a zone that does not exist", [2]string{`sync "main" {`, "sync \"main\" {\n  timezone = \"Europe/Brussel\""}, "Unknown time zone", "IANA", `"Europe/Brussel"`},
		{"a sync after itself", [2]string{`sync "main" {`, "sync \"main\" {\n  after = [sync.main]"}, "Syncs in a circle", "main after main", `[sync.main]`},
		{"a sync after a stranger", [2]string{`sync "main" {`, "sync \"main\" {\n  after = [sync.man]"}, "Unknown sync", `Did you mean "main"?`, `.man`},
		{"comments with a wrong format", [2]string{titleField, titleField + "comments {\n ticket = \"c\"\n incident = \"work_notes\"\n format = \"autor + text\"\n}\n"}, "", "author", `autor`},
		{"comments without a path", [2]string{titleField, titleField + "comments {\n ticket = \"c\"\n}\n"}, "Missing path", `incident = "…"`, `comments`},
		{"comments that leave out what they say", [2]string{titleField, titleField + "comments {\n ticket = \"c\"\n incident = \"work_notes\"\n format = \"author\"\n}\n"}, "Format without the text", "author + ': ' + text", `"author"`},
		{"an attachment of no size", [2]string{titleField, titleField + "attachments {\n max_size = \"10 apples\"\n}\n"}, "Not a size", "MiB", `"10 apples"`},
		{"an attachment of size none", [2]string{titleField, titleField + "attachments {\n max_size = \"0MiB\"\n}\n"}, "Not a size", "MiB", `"0MiB"`},
		{"attachments of a type that is none", [2]string{titleField, titleField + "attachments {\n types = [\"image\"]\n}\n"}, "Not a media type", "image/*", `"image"`},
		{"attachments of no type", [2]string{titleField, titleField + "attachments {\n types = []\n}\n"}, "No media types", "leave types out", `[]`},
		{"attachments that flow to a stranger", [2]string{titleField, titleField + "attachments {\n flow = \"ticket -> incdent\"\n}\n"}, "Unknown side", `Did you mean "incident"?`, `"ticket -> incdent"`},
		{"attachments with a word that does not exist", [2]string{titleField, titleField + "attachments {\n maxsize = \"10MiB\"\n}\n"}, "Unexpected argument", `Did you mean "max_size"?`, `maxsize`},

		// tests
		{"a test of a side that does not exist", extra("test \"t\" {\n sync = sync.main\n now = { tickets = { id = 1 } }\n}"), "Unknown side", `Did you mean "ticket"?`, `tickets`},
		{"a test of a path that has no rule", extra("test \"t\" {\n sync = sync.main\n now = { ticket = { titel = 1 } }\n}"), "Path without a rule", `Did you mean "title"?`, `titel`},
		{"a test of a record that goes before it was there", extra("test \"t\" {\n sync = sync.main\n now = { ticket = \"gone\" }\n}"), "Gone before it was there", "base", `{ ticket = "gone" }`},
		{"a test of a sync with a mistake", [2]string{titleField, "field \"f\" {\n flow = \"ticket -> incident\"\n ticket = \"a\"\n incident = \"b\"\n to_incident = \"tickt.a\"\n}\n}\ntest \"t\" {\n sync = sync.main\n now = { ticket = { a = 1 }, alarm = { x = 1 } }\n expect = { conflict = [\"g\"] }\n"}, "Unknown name", "ticket", `tickt`},
		{"a test that expects a hold of no field", extra("test \"t\" {\n sync = sync.main\n now = { ticket = { title = 1 } }\n expect = { hold = [\"titel\"] }\n}"), "Unknown field", `Did you mean "title"?`, `"titel"`},
		{"a test that expects a conflict of no field", extra("test \"t\" {\n sync = sync.main\n now = { ticket = { title = 1 } }\n expect = { conflict = [\"titel\"] }\n}"), "Unknown field", `Did you mean "title"?`, `"titel"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := broken(t, tt.change)
			c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
			expect(t, c, src, diags, hcl.DiagError, tt.summary, tt.detail, tt.at)
		})
	}
}

func broken(t *testing.T, change [2]string) string {
	t.Helper()
	src := sound + "translation \"wide\" {\n columns = [\"ticket\", \"incident\"]\n rows = [[\"new\", \"1\"], [\"open\", \"2\"], [\"waiting\", \"2\"]]\n}\n" +
		"translation \"other\" {\n columns = [\"ticket\", \"incident\"]\n unmatched = \"9\"\n rows = [[\"new\", \"1\"]]\n}\n" +
		"translation \"staff\" {\n columns = [\"ticket\", \"incident\"]\n unmatched = \"nobody\"\n lookup {\n connection = connection.prod\n collection = \"sys_user\"\n ticket = \"email\"\n incident = \"sys_id\"\n }\n}\n"
	if change[0] == "" {
		return src + change[1]
	}
	if !strings.Contains(src, change[0]) {
		t.Fatalf("there is no %q to break", change[0])
	}
	return strings.Replace(src, change[0], change[1], 1)
}

// expect finds one diagnostic with this text that underlines at, and no other error.
func expect(t *testing.T, c *mapping.Config, src string, diags hcl.Diagnostics, severity hcl.DiagnosticSeverity, summary, detail, at string) {
	t.Helper()
	n := 0
	for _, d := range diags {
		if d.Severity != severity {
			continue
		}
		n++
		got := ""
		if d.Subject != nil {
			got = src[d.Subject.Start.Byte:d.Subject.End.Byte]
		}
		if !strings.Contains(d.Summary, summary) || !strings.Contains(d.Detail, detail) || at != "" && got != at {
			t.Errorf("unexpected, underlining %q:\n%s", got, show(c, hcl.Diagnostics{d}))
		}
	}
	if n != 1 {
		t.Errorf("%d diagnostics, want one:\n%s", n, show(c, diags))
	}
}

func TestMistakesAgainstTheSystemsAreShown(t *testing.T) {
	create := [2]string{`collection = "incident"`, "collection = \"incident\"\n create = true"}
	for _, tt := range []struct {
		name     string
		changes  [][2]string
		open     bool
		severity hcl.DiagnosticSeverity
		summary  string
		detail   string
		at       string
	}{
		{"a path that does not exist", [][2]string{{`"short_description"`, `"short_descripton"`}}, false, hcl.DiagError, "Unknown path", `Did you mean "short_description"?`, `"short_descripton"`},
		{"a path that is a label", [][2]string{{`"short_description"`, `"Short Description"`}}, false, hcl.DiagError, "Unknown path", `label of "short_description"`, `"Short Description"`},
		{"a path that may exist", [][2]string{{`"short_description"`, `"u_ours"`}}, true, hcl.DiagWarning, "Path is not described", "cannot see", `"u_ours"`},
		{"a path of a match", [][2]string{{`"correlation_id"`, `"corelation_id"`}}, false, hcl.DiagError, "Unknown path", `"correlation_id"`, `"corelation_id"`},
		{"a step out of a text", [][2]string{{`"short_description"`, `"state.x"`}}, true, hcl.DiagWarning, "Path is not described", "state.x", `"state.x"`},
		{"a key that is written", [][2]string{{`"short_description"`, `"sys_id"`}}, false, hcl.DiagError, "A key cannot be written", "match block", `"sys_id"`},
		{"a read-only path that is written", [][2]string{{`"short_description"`, `"number"`}}, false, hcl.DiagError, "Path is read-only", "away from incident", `"number"`},
		{"a path of new records that is kept in step", [][2]string{{`"short_description"`, `"origin"`}}, false, hcl.DiagError, "Path is set once", `strength = "on_create"`, `"origin"`},
		{"a path of new records as a last value", [][2]string{{titleField, titleField + "on_gone \"ticket\" {\n then = \"update\"\n set = { origin = \"9\" }\n}\n"}}, false, hcl.DiagError, "Path is set once", "new records", `origin`},
		{"a journal that is written", [][2]string{{`"short_description"`, `"work_notes"`}}, false, hcl.DiagError, "A journal cannot be kept in step", "comments block", `"work_notes"`},
		{"a create without a marker", [][2]string{create, {`"correlation_id"`, `"number"`}}, false, hcl.DiagError, "No marker for new records", "Add match", `true`},
		{"a row with a value that is no choice", [][2]string{field("ticket = \"status\"\nincident = \"state\"\nvia = translation.state"), {`["open", "2"]`, `["open", "22"]`}}, false, hcl.DiagError, "Not one of the choices", `never "22". Did you mean "2"?`, `"22"`},
		{"a row with a label", [][2]string{field("ticket = \"status\"\nincident = \"state\"\nvia = translation.state"), {`["open", "2"]`, `["open", "in progress"]`}}, false, hcl.DiagError, "Not one of the choices", `label of "2"`, `"in progress"`},
		{"a choice without a row", [][2]string{field("ticket = \"status\"\nincident = \"state\"\nvia = translation.state")}, false, hcl.DiagWarning, "Values without a row", `"3" (On Hold), "6" (Resolved), "8" (Canceled)`, `translation.state`},
		{"a row that does not fit the type", [][2]string{field("ticket = \"priority\"\nincident = \"urgency\"\nvia = translation.state"), {`rows    = [["new", "1"], ["open", "2"], ["closed", "7"]]`, `rows = [["1", "1"], ["low", "2"]]`}}, false, hcl.DiagError, "Wrong type of value", "does not fit", `"low"`},
		{"an expression with an unknown path", [][2]string{field("flow = \"ticket -> incident\"\nincident = \"urgency\"\nto_incident = \"ticket.priorty <= 2 ? '1' : '2'\"")}, false, hcl.DiagError, "", "priority", `priorty`},
		{"an expression of the wrong type", [][2]string{field("flow = \"ticket -> incident\"\nincident = \"urgency\"\nto_incident = \"ticket.priority + ticket.title\"")}, false, hcl.DiagError, "", "", ``},
		{"a required path that nothing writes", [][2]string{create}, false, hcl.DiagWarning, "Required path is not written", "caller_id", `true`},
		{"a copy of a choice that the other side refuses", [][2]string{field("flow = \"ticket -> incident\"\nticket = \"status\"\nincident = \"state\"")}, false, hcl.DiagWarning, "Values that are refused", `"new", "open"`, `"state"`},
		{"a value for what has no row that is no choice", [][2]string{field("flow = \"ticket -> incident\"\nticket = \"status\"\nincident = \"state\"\nvia = translation.state"), {`columns = ["ticket", "incident"]`, "columns = [\"ticket\", \"incident\"]\n  unmatched = \"99\""}}, false, hcl.DiagError, "Not one of the choices", `never "99"`, `"99"`},
		{"a value for what has no row that does not fit", [][2]string{field("flow = \"ticket <- incident\"\nticket = \"priority\"\nincident = \"urgency\"\nvia = translation.state"), {`rows    = [["new", "1"], ["open", "2"], ["closed", "7"]]`, "unmatched = \"low\"\n rows = [[\"1\", \"1\"]]"}}, false, hcl.DiagError, "Wrong type of value", "ticket.priority", `"low"`},
		{"a path beyond a reference that is written", [][2]string{field("ticket = \"mail\"\nincident = \"caller_id.email\"")}, false, hcl.DiagError, "Path lies in another record", `incident = "caller_id", via = translation.NAME, with a lookup of "sys_user" from email to its key`, `"caller_id.email"`},
		{"a last value beyond a reference", [][2]string{{titleField, titleField + "on_gone \"ticket\" {\n then = \"update\"\n set = { \"caller_id.active\" = \"false\" }\n}\n"}}, false, hcl.DiagError, "Path lies in another record", `"caller_id"`, `"caller_id.active"`},
		{"a marker beyond a reference", [][2]string{create, {`"correlation_id"`, `"caller_id.email"`}}, false, hcl.DiagError, "No marker for new records", "Add match", `true`},
		{"a record that cannot be made again", [][2]string{{titleField, titleField + "on_gone \"ticket\" {\n then = \"recreate\"\n}\n"}}, false, hcl.DiagError, "No marker for new records", `or write then = "detach"`, `"recreate"`},
		{"a text compared with a number", [][2]string{field("flow = \"ticket -> incident\"\nincident = \"urgency\"\nto_incident = \"ticket.title == 1 ? '1' : '2'\"")}, false, hcl.DiagError, "Wrong type", "Values of ticket.title are text: write '1'.", `==`},
		{"a last value that is no choice", [][2]string{{titleField, titleField + "on_gone \"ticket\" {\n then = \"update\"\n set = { state = \"9\" }\n}\n"}}, false, hcl.DiagError, "Not one of the choices", "never \"9\"", `"9"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := sound
			for _, change := range tt.changes {
				if !strings.Contains(src, change[0]) {
					t.Fatalf("there is no %q to break", change[0])
				}
				src = strings.Replace(src, change[0], change[1], 1)
			}
			c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
			if len(diags) > 0 {
				t.Fatal(show(c, diags))
			}
			s, _ := c.Sync("main")
			schema := incidents()
			schema.Open = tt.open
			got, diags := c.Compile(s, [2]*connectors.Schema{tickets(), schema})
			expect(t, c, src, diags, tt.severity, tt.summary, tt.detail, tt.at)
			if (got == nil) != (tt.severity == hcl.DiagError) {
				t.Errorf("compiled: %t", got != nil)
			}
		})
	}
}

func TestAPathOfNewRecordsMayBeGivenToThem(t *testing.T) {
	f := field("flow = \"ticket -> incident\"\nticket = \"title\"\nincident = \"origin\"\nstrength = \"on_create\"")
	c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(strings.Replace(sound, f[0], f[1], 1))}, "nowhere", options())
	if len(diags) > 0 {
		t.Fatal(show(c, diags))
	}
	s, _ := c.Sync("main")
	if _, diags := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()}); len(diags) > 0 {
		t.Error(show(c, diags))
	}
}

// What a system does not describe cannot be checked: nothing is said of paths, and their values have the form that
// all of that system's values have.
func TestPathsOfASystemThatHidesItsFieldsAreNotChecked(t *testing.T) {
	text := record.Type{Kind: record.Text}
	for _, tt := range []struct {
		name, when string
		want       []string
	}{
		{"as text", "incident.priority == '1'", nil},
		{"beyond a reference", "incident.caller_id.email == 'a'", nil},
		{"as a number", "incident.priority == 1", []string{"Wrong type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.Replace(sound, `"short_description"`, "\"u_ours\"\nwhen = \""+tt.when+"\"", 1)
			c, _ := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
			s, _ := c.Sync("main")
			got, diags := c.Compile(s, [2]*connectors.Schema{tickets(), {Key: "sys_id", Hidden: true, Rest: text}})
			if !slices.Equal(summaries(diags), tt.want) {
				t.Fatal(show(c, diags))
			}
			if got == nil {
				return
			}
			for slot, path := range got.Rules.Sides[1].Paths {
				if got.Rules.Sides[1].Types[slot] != text {
					t.Errorf("%s is of type %v", path, got.Rules.Sides[1].Types[slot])
				}
			}
		})
	}
}

func TestPathsThatAreNotDescribedHaveTheTypeOfTheRest(t *testing.T) {
	src := strings.Replace(sound, `"short_description"`, "\"u_ours\"\nwhen = \"incident.u_theirs == 1\"", 1)
	c, _ := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
	s, _ := c.Sync("main")
	schema := incidents()
	schema.Open, schema.Rest = true, record.Type{Kind: record.Text}
	if _, diags := c.Compile(s, [2]*connectors.Schema{tickets(), schema}); !slices.Equal(summaries(diags), []string{"Path is not described", "Wrong type"}) {
		t.Error(show(c, diags))
	}
}

func TestAnExpressionReadsThroughAReference(t *testing.T) {
	for name, body := range map[string]string{
		"alone":                 "flow = \"ticket <- incident\"\nticket = \"mail\"\nto_ticket = \"incident.caller_id.email\"",
		"beside the reference":  "flow = \"ticket <- incident\"\nticket = \"mail\"\nincident = \"caller_id\"\nto_ticket = \"incident.caller_id.email\"",
		"in a condition":        "flow = \"ticket <- incident\"\nticket = \"mail\"\nincident = \"caller_id\"\nwhen = \"incident.caller_id.email != nil\"",
		"with a function of it": "flow = \"ticket <- incident\"\nticket = \"mail\"\nincident = \"caller_id\"\nto_ticket = \"lower(incident.caller_id.email ?? '')\"",
		"through two":           "flow = \"ticket <- incident\"\nticket = \"mail\"\nincident = \"caller_id.email\"\nto_ticket = \"incident.caller_id.manager.email + incident.caller_id.email\"",
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(sound, titleField, field(body)[1], 1)
			c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
			s, _ := c.Sync("main")
			got, more := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
			if got == nil || len(diags) > 0 {
				t.Fatal(show(c, append(diags, more...)))
			}
			for _, paths := range [][]string{s.Paths[1], got.Rules.Sides[1].Paths} {
				if !slices.Contains(paths, "caller_id.email") {
					t.Errorf("the paths are %q", paths)
				}
			}
			r := got.Rules.Fields[0]
			if slot := slices.Index(got.Rules.Sides[1].Paths, "caller_id.email"); !slices.Contains(r.Reads[1], slot) {
				t.Errorf("it reads %v, not %d", r.Reads[1], slot)
			}
		})
	}
}

func TestAStepIntoAReferenceIsAccepted(t *testing.T) {
	src := strings.Replace(sound, titleField, "field \"mail\" {\nflow = \"ticket <- incident\"\nticket = \"mail\"\nincident = \"caller_id.email\"\nwhen = \"incident.caller_id.email != null\"\n}\n", 1)
	c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
	s, _ := c.Sync("main")
	if got, more := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()}); got == nil {
		t.Error(show(c, append(diags, more...)))
	}
}

func TestSeveralMistakesAreShownTogether(t *testing.T) {
	src := strings.NewReplacer("connection.desk", "connection.dask", "connection.prod", "connection.prob", `"7"]]`, `"7"], ["new", "1"]]`).Replace(sound)
	_, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
	if got := summaries(diags); len(got) != 3 {
		t.Errorf("diagnostics are %q", got)
	}
}

func TestASyntaxErrorIsShownAlone(t *testing.T) {
	src := strings.Replace(sound, `match {`, `match `, 1)
	c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(src)}, "nowhere", options())
	for _, d := range diags {
		if d.Subject == nil || strings.HasPrefix(d.Summary, "Unknown") {
			t.Error(show(c, diags))
		}
	}
	if !diags.HasErrors() {
		t.Error("no error")
	}
}

func TestDirectoriesThatCannotBeLoaded(t *testing.T) {
	empty, odd := t.TempDir(), t.TempDir()
	if err := os.Symlink(filepath.Join(odd, "nowhere"), filepath.Join(odd, "a.hcl")); err != nil {
		t.Fatal(err)
	}
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "a.hcl"), 0o600); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct{ name, dir, summary, detail string }{
		{"a file in the place of a directory", "diag_test.go", "Not a directory", "is a file"},
		{"a pipe that nobody writes", pipe, "File cannot be read", "not a file"},
		{"a directory that does not exist", filepath.Join(empty, "x"), "No mapping directory", "-d DIR"},
		{"a directory without mapping files", empty, "No mapping files", "no *.hcl files"},
		{"a file that cannot be read", odd, "File cannot be read", "permissions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, diags := mapping.Load(tt.dir, options())
			if c == nil || len(diags) != 1 || diags[0].Summary != tt.summary || !strings.Contains(diags[0].Detail, tt.detail) {
				t.Errorf("%v", diags)
			}
		})
	}
}

func TestDiagnosticsNeverShowValues(t *testing.T) {
	src := "locals {\n password = \"hunter2\"\n}\nfieldsync {\n listen = local.password + 1\n}\n"
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
	out := show(c, diags)
	if rest := strings.ReplaceAll(out, `password = "hunter2"`, ""); !diags.HasErrors() || strings.Contains(rest, "hunter2") {
		t.Error(out)
	}
}

func TestCaretsStandUnderTheMistake(t *testing.T) {
	src := "fieldsync {\n\tlisten = \"ü8440\" # no\n}\n"
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
	if out := show(c, diags); !strings.Contains(out, "   2: \tlisten = \"ü8440\" # no\n      \t         ^^^^^^^\n") {
		t.Error(out)
	}
}
