package expression_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// Every case is a whole file. What must be underlined stands between » and «, which are removed first; exact
// cases need the bytes of the file.
func TestDiagnosticsUnderlineTheWrongCharacters(t *testing.T) {
	tests := []struct {
		name, file, say string
		exact           bool
	}{
		{name: "a member, with the nearest name", file: `a = "ticket.»stat« == 'x'"`, say: "Did you mean status?"},
		{name: "a member at the end", file: `a = "1 > 2 ? nil : ticket.»titel«"`, say: "Did you mean title?"},
		{name: "a member below a path", file: `a = "ticket.caller.»emial«"`, say: "Did you mean caller.email?"},
		{name: "a member of a group of paths", file: `a = "ticket.group.»nmae«"`, say: "Did you mean group.name?"},
		{name: "a group of paths is no value", file: `a = "ticket.»group«"`, say: "It goes on: group.name."},
		{name: "an index", file: `a = "alarm[»'Incident Statu'«]"`, say: "Did you mean Incident Status?"},
		{name: "a variable", file: `a = "»tickt«.title"`, say: "Did you mean ticket?"},
		{name: "a bare word", file: `a = "ticket.status == »open«"`, say: "single quotes"},
		{name: "a function", file: `a = "»upperr«(ticket.title)"`, say: "Did you mean upper?"},
		{name: "a function behind a pipe", file: `a = "ticket.title | »trimm«()"`, say: "Did you mean trim?"},
		{name: "the clock", file: `a = "»now«() > ticket.opened"`, say: "run.time"},
		{name: "the machine's zone", file: `a = "run.time.»Local«()"`, say: "timezone"},
		{name: "the machine's zone as a value", file: `a = "ticket.opened.»Local«"`, say: "timezone"},
		{name: "the environment of expr", file: `a = "»$env«['ticket.title']"`, say: "nothing called"},
		{name: "a member of run", file: `a = "run.»tiem«"`, say: "it has time"},
		{name: "run alone", file: `a = "»run«"`, say: "run.time"},
		{name: "a local", file: `a = "local.»lable«"`, say: "Did you mean label?"},
		{name: "a member of a local", file: `a = "local.names.»p2«"`, say: "Did you mean p1?"},
		{name: "operands that do not fit", file: `a = "ticket.title »+« ticket.priority"`, say: "text and int"},
		{name: "a comparison that cannot be", file: `a = "ticket.priority »==« 'high'"`, say: "int and text"},
		{name: "an element that cannot be in the list", file: `a = "ticket.priority »in« ['1']"`, say: "Convert with"},
		{name: "an argument", file: `a = "upper(»ticket.priority«)"`, say: "Convert with"},
		{name: "too many arguments", file: `a = "»cut«('a', 1, 2)"`, say: "Too many arguments"},
		{name: "a single equals sign", file: `a = "ticket.priority »=« 2"`, say: "=="},
		{name: "an end too early", file: `a = "ticket.priority »<« "`, say: "ends too early"},
		{name: "a text member", file: `a = "ticket.title.»size«"`, say: "no field size"},
		{name: "a let that hides", file: `a = "let »ticket« = 1; ticket"`, say: "another name"},

		{name: "behind escaped quotes", file: `a = "alarm[\"Incident Status\"] + ticket.»titel«"`, say: "title"},
		{name: "escaped quotes themselves", file: `a = "alarm[»\"Incident Statu\"«]"`, say: "Incident Status"},
		{name: "behind an escaped newline", file: `a = "ticket.title\n == ticket.»titel«"`, say: "title"},
		{name: "behind an escaped backslash", file: `a = "'\\\\' + ticket.»titel«"`, say: "title"},
		{name: "behind an escaped interpolation", file: `a = "'$${x} %%{y}' + ticket.»titel«"`, say: "title"},
		{name: "behind letters of many bytes", file: `a = "'é€😀é' + ticket.»titel«"`, say: "title"},
		{name: "behind an escaped letter", file: `a = "'\u00e9\U0001F600' + ticket.»titel«"`, say: "title", exact: true},
		{name: "behind an escaped tab", file: `a = "'\t' + ticket.»titel«"`, say: "title", exact: true},
		{name: "behind a tab", file: "a = \"'\t' + ticket.»titel«\"", say: "title"},
		{name: "in parentheses", file: `a = ("ticket.»titel«")`, say: "title"},

		{name: "in a heredoc", file: "a = <<EOT\nticket.title +\n  ticket.»titel«\nEOT", say: "title"},
		{name: "in an indented heredoc", file: "a = <<-EOT\n    ticket.title +\n      ticket.»titel«\n  EOT", say: "title"},
		{name: "on the first line of an indented heredoc", file: "a = <<-EOT\n    ticket.»titel« +\n      ticket.title\n  EOT", say: "title"},
		{name: "behind a blank line of an indented heredoc", file: "a = <<-EOT\n    'é' +\n\n    ticket.»titel« +\n    'x'\n  EOT", say: "title"},
		{name: "behind an escape in a heredoc", file: "a = <<EOT\n'$${x}' + \"\\n\" +\n  ticket.»titel«\nEOT", say: "title"},
		{name: "with tabs as indentation", file: "a = <<-EOT\n\t'x' +\n\t\tticket.»titel«\n\tEOT", say: "title"},
		{name: "with two bytes at the line's end", file: "a = <<-EOT\r\n    'x' +\r\n    ticket.»titel«\r\n  EOT", say: "title"},
		{name: "an end too early in a heredoc", file: "a = <<EOT\nticket.priority »<«\nEOT", say: "ends too early"},
		{name: "not the file's first attribute", file: "b = \"é\" // ü\na = \"ticket.»titel«\"", say: "title"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := strings.Index(tt.file, "»")
			end := strings.Index(tt.file, "«") - len("»")
			src := strings.NewReplacer("»", "", "«", "").Replace(tt.file) + "\n"
			attrs, f := attributes(t, src)
			check := func(e hcl.Expression, start, end int) {
				t.Helper()
				_, diags := expression.Compile(e, nil, ticketScope(), expression.Any)
				if len(diags) != 1 {
					t.Fatalf("diagnostics: %v", diags)
				}
				d := diags[0]
				if d.Subject.Start.Byte != start || d.Subject.End.Byte != end {
					t.Errorf("underlines %q at %v, want %q", d.Subject.SliceBytes(f.Bytes), d.Subject, src[start:end])
				}
				before := src[:start]
				if want := strings.Count(before, "\n") + 1; d.Subject.Start.Line != want {
					t.Errorf("line %d, want %d", d.Subject.Start.Line, want)
				}
				if want := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1; d.Subject.Start.Column != want {
					t.Errorf("column %d, want %d", d.Subject.Start.Column, want)
				}
				if !strings.Contains(d.Detail+d.Summary, tt.say) {
					t.Errorf("says %q, want %q in it", d.Detail, tt.say)
				}
			}
			check(expression.Within(attrs["a"], f.Bytes), start, end)
			if tt.exact {
				whole := attrs["a"].Range()
				start, end = whole.Start.Byte, whole.End.Byte
			}
			check(attrs["a"], start, end)
		})
	}
}

func TestSeveralMistakesAreReportedAtOnce(t *testing.T) {
	attrs, f := attributes(t, `a = "ticket.titel + tickt.x + upperr(ticket.stat)"`+"\n")
	_, diags := expression.Compile(attrs["a"], nil, ticketScope(), expression.Any)
	var got []string
	for _, d := range diags {
		got = append(got, string(d.Subject.SliceBytes(f.Bytes)))
	}
	if strings.Join(got, " ") != "titel tickt stat upperr" {
		t.Errorf("underlined: %v", got)
	}
}

func TestRangeMapsRunesToTheFile(t *testing.T) {
	attrs, f := attributes(t, "a = <<-EOT\n    é one\n    two\n  EOT\nb = \"x\\\"y\"\n")
	for _, tt := range []struct {
		attr     string
		from, to int
		want     string
	}{{"a", 2, 5, "one"}, {"a", 6, 9, "two"}, {"a", 2, 9, "one\n    two"}, {"b", 1, 2, `\"`}, {"b", 2, 99, "y"}, {"b", -5, 1, "x"}} {
		r := expression.Range(attrs[tt.attr], tt.from, tt.to)
		if got := string(r.SliceBytes(f.Bytes)); got != tt.want {
			t.Errorf("%s %d to %d is %q, want %q", tt.attr, tt.from, tt.to, got, tt.want)
		}
	}
}
