package mapping

import (
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// EvalFile is the name under which diagnostics speak of an expression that stands in no file.
const EvalFile = "expression"

// An Expression is compiled on its own, outside any rule, to be tried on records.
type Expression struct {
	Paths   [2][]string // that it reads, by side, sorted
	program *expression.Program
	sides   [2]string
}

// Expression compiles src as if it stood in a rule of s: with its sides, and with the locals and functions of the
// mapping. Without a sync it may name no record. The files show its diagnostics.
func (c *Config) Expression(s *Sync, described [2]*schema, src string) (*Expression, map[string]*hcl.File, hcl.Diagnostics) {
	files := map[string]*hcl.File{EvalFile: {Bytes: []byte(src)}}
	k := &compiler{c: c, s: s, schema: described}
	scope := expression.Scope{Locals: c.locals, Functions: c.functions}
	e := &Expression{}
	if s != nil {
		for i, side := range s.Sides {
			e.sides[i] = side.Name
			k.named[i] = map[string]bool{}
			scope.Vars = append(scope.Vars, k.variable(i, side.Name))
		}
	}
	var diags hcl.Diagnostics
	if e.program, diags = expression.Compile(written(src), c.ctx, scope, expression.Any); diags.HasErrors() {
		return nil, files, diags
	}
	reads := e.program.Reads()
	for i, name := range e.sides {
		for _, path := range reads[name] {
			if path != "" {
				e.Paths[i] = append(e.Paths[i], path)
			}
		}
	}
	return e, files, diags
}

// written is src as the HCL text that expressions are compiled from.
func written(src string) hcl.Expression {
	lines := strings.Split(src, "\n")
	last := lines[len(lines)-1]
	whole := hcl.Range{Filename: EvalFile, Start: hcl.InitialPos, End: hcl.Pos{Line: len(lines), Column: len([]rune(last)) + 1, Byte: len(src)}}
	lit := &hclsyntax.LiteralValueExpr{Val: cty.StringVal(src), SrcRange: whole}
	return expression.Within(&hclsyntax.TemplateExpr{Parts: []hclsyntax.Expression{lit}, SrcRange: whole}, []byte(src))
}

// Run evaluates e on two records, of which either may be nil: all of its paths are null then.
func (e *Expression) Run(records [2]expression.Getter, at time.Time) (record.Value, error) {
	vars := map[string]expression.Getter{}
	for i, name := range e.sides {
		if name != "" && records[i] != nil {
			vars[name] = records[i]
		}
	}
	return e.program.Run(vars, at)
}
