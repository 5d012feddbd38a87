package main

import (
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) tokenCmd() *cobra.Command {
	var role string
	c := &cobra.Command{
		Use:   "token NAME",
		Short: "make a token for a caller of fieldsync serve",
		Long: `Prints a new token, once, and the block that lets it in: paste that into the serve block of the
mapping, which holds the hash alone. A running service takes it over at once; taking the block
out ends the token and its log-ins.

Programs send it as Authorization: Bearer TOKEN; people type it in at /login. The role is look,
decide (and settle conflicts, approve, restore) or run (and start and pause syncs).`,
		Example: `  fieldsync token grafana --role look
  curl -H "Authorization: Bearer $TOKEN" https://fieldsync.example.com/status`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := access.ParseRole(role)
			if err != nil {
				return project.Hinted(err, "add --role look, --role decide or --role run")
			}
			token := access.NewToken()
			hash := access.HashOf(token).String()
			if a.json {
				return report.JSON(a.out, map[string]string{"name": args[0], "role": r.String(), "token": token, "hash": hash})
			}
			a.say("The token, which is shown only now:\n\n  %s\n\nFor the serve block of the mapping:\n\n  token %q {\n    hash = %q\n    role = %q\n  }", token, args[0], hash, r)
			return nil
		},
	}
	c.Flags().StringVar(&role, "role", "", "look, decide or run")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"look", "decide", "run"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
