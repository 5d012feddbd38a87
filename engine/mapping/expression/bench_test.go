package expression_test

import (
	"testing"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

func BenchmarkRun(b *testing.B) {
	values := map[string]record.Value{"title": record.OfText("Router down"), "status": record.OfText("open"), "priority": record.OfInt(2)}
	vars := map[string]expression.Getter{"ticket": func(path string) record.Value { return values[path] }}
	for _, c := range []struct{ name, code string }{
		{"path", `ticket.title`},
		{"equal", `ticket.status == 'open'`},
		{"in", `ticket.status in ['resolved', 'closed', 'open']`},
		{"pair", `ticket.priority <= 2 ? ['1', '1'] : ['2', '3']`},
		{"concat", `'[' + ticket.status + '] ' + ticket.title`},
		{"call", `cut(upper(ticket.title), 6)`},
		{"table", `{'open': '2', 'closed': '7'}[ticket.status]`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := compile(b, c.code, ticketScope(), expression.Any)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Run(vars, began); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	attrs, _ := attributes(b, `a = "ticket.priority <= 2 ? ['1', '1'] : ['2', '3']"`+"\n")
	scope := ticketScope()
	for b.Loop() {
		if _, diags := expression.Compile(attrs["a"], nil, scope, expression.List); diags.HasErrors() {
			b.Fatal(diags)
		}
	}
}
