package main

import (
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A linkView is a link for programs.
type linkView struct {
	Sync   string    `json:"sync"`
	Link   int64     `json:"link"`
	Status string    `json:"status"`
	Sides  [2]string `json:"sides"`
	Keys   [2]string `json:"keys"`
	Labels [2]string `json:"labels"`
}

func viewOf(sync string, sides [2]string, l record.Link, status record.Status) linkView {
	return linkView{Sync: sync, Link: l.ID, Status: status.String(), Sides: sides, Keys: l.Key, Labels: l.Label}
}

// name is what people call one end of the link.
func (v linkView) name(s record.Side) string {
	return v.Sides[s] + " " + record.Record{Key: v.Keys[s], Label: v.Labels[s]}.Name()
}

func (a *app) linkCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "link SYNC KEY KEY",
		Short: "link two records by hand, whatever the match blocks say",
		Long: `Makes one record of each side twins. Both have to exist, to be in scope, and to have no
link. Neither is written: the next run decides about them as on first contact, and
fieldsync plan shows that before.

KEY is a key or a label; the two may stand in either order.`,
		Example: `  fieldsync link ticket_to_incident T-1001 INC0010023
  fieldsync plan ticket_to_incident`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, s, job, err := a.openSync(c.Context(), args[0], project.WriteState, project.JobOptions{Trigger: "link"})
			if err != nil {
				return err
			}
			defer p.Close()
			l, err := p.Engine(nil).Adopt(c.Context(), job, [2]string{args[1], args[2]})
			if err != nil {
				return err
			}
			if err := p.Note(c.Context(), a.person(), "link", s.Name+" "+args[1]+" "+args[2], ""); err != nil {
				return err
			}
			v := viewOf(s.Name, p.SidesOf(s.Name), l, l.Status)
			if a.json {
				return report.JSON(a.out, v)
			}
			a.say("%s and %s are linked.", v.name(record.Left), v.name(record.Right))
			a.say("The next run decides about them as on first contact; fieldsync plan %s shows it before.", s.Name)
			return nil
		},
	}
}

func (a *app) unlinkCmd() *cobra.Command {
	var forget bool
	c := &cobra.Command{
		Use:   "unlink SYNC KEY",
		Short: "part two linked records by hand, and leave both as they are",
		Long: `Ends the link of a record. Neither record is written. They are not paired again and
nothing is created for either of them, until fieldsync link makes them twins again.

With --forget they are strangers from now on, also when they were parted before: the next
run that looks at them may pair them by the match blocks again, or create what is missing.

KEY is the key or the label of the record on either side.`,
		Example: `  fieldsync unlink ticket_to_incident T-1001
  fieldsync unlink ticket_to_incident T-1001 --forget`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, s, job, err := a.openSync(c.Context(), args[0], project.WriteState, project.JobOptions{Trigger: "unlink"})
			if err != nil {
				return err
			}
			defer p.Close()
			l, err := p.Engine(nil).Part(c.Context(), job, args[1], a.person(), forget)
			if err != nil {
				return err
			}
			if err := p.Note(c.Context(), a.person(), "unlink", s.Name+" "+args[1], ""); err != nil {
				return err
			}
			v := viewOf(s.Name, p.SidesOf(s.Name), l, record.Ended)
			if a.json {
				return report.JSON(a.out, v)
			}
			switch { // a create in flight has one end only
			case v.Keys[0] == "":
				a.say("%s is no longer linked, and stays as it is.", v.name(record.Right))
			case v.Keys[1] == "":
				a.say("%s is no longer linked, and stays as it is.", v.name(record.Left))
			default:
				a.say("%s and %s are no longer linked; both stay as they are.", v.name(record.Left), v.name(record.Right))
			}
			if forget {
				a.say("The next run that looks at them may pair them again, or create what is missing; fieldsync plan %s --full shows it before.", s.Name)
			} else {
				a.say("They are not paired again. To undo that: fieldsync link %s %s %s", s.Name, v.Keys[0], v.Keys[1])
			}
			return nil
		},
	}
	c.Flags().BoolVar(&forget, "forget", false, "let the records be paired again")
	return c
}
