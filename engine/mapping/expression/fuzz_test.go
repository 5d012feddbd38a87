package expression_test

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// Whatever stands in the file: no panic, a subject inside the file with every diagnostic, and either a program
// or an error.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`"ticket.title"`, `"ticket.stat == 'x'"`, `"alarm[\"Incident Status\"] ?? 'é'"`, `"'\u00e9' + ticket.titel"`,
		`"let a = 1; a + b"`, `"filter(ticket.tags, # in ['a'])"`, `"now()"`, `"run.time.Local()"`, `"f(ticket)"`, `"g(1, 2)"`,
		"<<EOT\nticket.priority <\n  2\nEOT", "<<-EOT\n    ticket\n      .titel\n\n  EOT", `"$${x} ${1}"`, `""`, `"1 ?? 2 || 3"`,
		`"{'a': 1}[ticket.status]"`, `"map(1..3, {#})"`, `"ticket?.payload?.x[0:1]"`, `"1/0 % 0"`, `"$env"`, `"#"`, `"((((1"`, `"'\t' + x"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		src := "a = " + value + "\nf = \"upper(x)\"\ng = \"g(x) + f(y)\"\n"
		file, diags := hclsyntax.ParseConfig([]byte(src), "f.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			return
		}
		attrs, diags := file.Body.JustAttributes()
		if diags.HasErrors() || attrs["a"] == nil || attrs["f"] == nil || attrs["g"] == nil {
			return
		}
		scope := ticketScope()
		scope.Functions = []expression.Function{
			{Name: "f", Params: []string{"x"}, Expr: attrs["f"].Expr},
			{Name: "g", Params: []string{"x", "y"}, Expr: attrs["g"].Expr},
		}
		for _, e := range []hcl.Expression{attrs["a"].Expr, expression.Within(attrs["a"].Expr, file.Bytes)} {
			p, diags := expression.Compile(e, nil, scope, expression.Any)
			if (p == nil) != diags.HasErrors() {
				t.Fatalf("program %v with %v", p, diags)
			}
			for _, d := range diags {
				if d.Subject == nil || d.Subject.Start.Byte > d.Subject.End.Byte || d.Subject.End.Byte > len(src) || !d.Subject.CanSliceBytes(file.Bytes) {
					t.Fatalf("subject %v of %v", d.Subject, d)
				}
			}
			if p != nil {
				_, _ = p.Run(filled, began)
				_, _ = p.Run(empty, began)
			}
		}
	})
}
