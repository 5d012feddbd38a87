package mapping

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// commandTimeout bounds command(): a password manager that waits for a finger must not hang a service for good.
const commandTimeout = 10 * time.Second

func standardFunctions() map[string]function.Function {
	return map[string]function.Function{
		"upper":      stdlib.UpperFunc,
		"lower":      stdlib.LowerFunc,
		"format":     stdlib.FormatFunc,
		"join":       stdlib.JoinFunc,
		"split":      stdlib.SplitFunc,
		"concat":     stdlib.ConcatFunc,
		"merge":      stdlib.MergeFunc,
		"length":     stdlib.LengthFunc,
		"keys":       stdlib.KeysFunc,
		"values":     stdlib.ValuesFunc,
		"replace":    stdlib.ReplaceFunc,
		"trimspace":  stdlib.TrimSpaceFunc,
		"trimprefix": stdlib.TrimPrefixFunc,
		"trimsuffix": stdlib.TrimSuffixFunc,
		"substr":     stdlib.SubstrFunc,
		"coalesce":   stdlib.CoalesceFunc,
		"jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc,
		"csvdecode":  stdlib.CSVDecodeFunc,
		"min":        stdlib.MinFunc,
		"max":        stdlib.MaxFunc,
	}
}

// context is what HCL expressions see. With missing (inside a connection), things that are not there now —
// a variable of the environment, a file, an answer of a command — are noted in it and read as "", so that a
// mapping can be validated where its passwords are not known. Commands run there only.
func (l *loader) context(missing *[]string) *hcl.EvalContext {
	f := standardFunctions()
	lenient := missing != nil
	if missing == nil {
		missing = &l.missing
	}
	text := []function.Parameter{{Name: "name", Type: cty.String}}
	more := &function.Parameter{Name: "more", Type: cty.String}
	returns := function.StaticReturnType(cty.String)

	f["env"] = function.New(&function.Spec{Params: text, VarParam: more, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) > 2 {
			return cty.NilVal, errors.New("env() takes the name of a variable and perhaps what to use when it is not set")
		}
		name := args[0].AsString()
		if v, ok := l.o.Getenv(name); ok {
			return cty.StringVal(v), nil
		}
		if len(args) == 2 {
			return args[1], nil
		}
		*missing = append(*missing, name)
		return cty.StringVal(""), nil
	}})
	f["file"] = function.New(&function.Spec{Params: text, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		name := l.path(args[0].AsString())
		src, err := readRegular(name)
		if err != nil {
			if lenient {
				*missing = append(*missing, fmt.Sprintf("file(%q)", args[0].AsString()))
				return cty.StringVal(""), nil
			}
			return cty.NilVal, err
		}
		l.cfg.Inputs = append(l.cfg.Inputs, name)
		return cty.StringVal(strings.TrimRight(string(src), "\r\n")), nil
	}})
	f["command"] = function.New(&function.Spec{Params: text, VarParam: more, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !lenient {
			return cty.NilVal, errors.New("command() can be used only where secrets are named: in connection, notify and serve blocks")
		}
		out, err := l.command(args)
		if err != nil {
			*missing = append(*missing, fmt.Sprintf("command(%q) (%v)", args[0].AsString(), err))
			return cty.StringVal(""), nil
		}
		return cty.StringVal(out), nil
	}})
	return &hcl.EvalContext{
		Functions: f,
		Variables: map[string]cty.Value{"var": object(l.vars), "local": object(l.locals)},
	}
}

// command runs a program in the mapping directory. What it prints on its error stream stays unseen: it may
// repeat a secret.
func (l *loader) command(args []cty.Value) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a.AsString()
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = l.cfg.Dir
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("no answer within %s", commandTimeout)
	}
	return strings.TrimSpace(out.String()), err
}

func object(m map[string]cty.Value) cty.Value {
	if len(m) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(m)
}
