package main

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

// ilert steers a simulated ilert account; Ada is the user who does things in the app:
//
//	ilert start [SWITCH…]       starts one, and sets ILERT_URL, ILERT_API_KEY and ILERT_INTEGRATION_KEY
//	ilert raise ENV SUMMARY     raises an alert of the source "Tickets", and puts its id into an environment variable
//	ilert accept|resolve ID     as a user does in the app
//	ilert comment ID TEXT       the same
//	ilert rename ID SUMMARY     changes a summary, as something inside ilert may
//	ilert fault FAULT           lets requests go wrong
//	ilert heal                  lets them go right again
//	ilert show                  prints status, key and summary of each alert
//	ilert log ID                prints the log of an alert
//	ilert writes                prints how many writes the account has seen
func ilert(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ilert start|raise|accept|resolve|comment|rename|fault|heal|show|log|writes")
	}
	w := worldOf(ts)
	if args[0] == "start" {
		w.ilert = ilertsim.New(ilertsim.Options{})
		for _, s := range append(args[1:], "rate=off") {
			ts.Check(w.ilert.Switch(s))
		}
		srv := httptest.NewServer(w.ilert)
		ts.Defer(srv.Close)
		ts.Setenv("ILERT_URL", srv.URL+"/api")
		ts.Setenv("ILERT_API_KEY", ilertsim.DefaultUsers()[0].APIKey)
		ts.Setenv("ILERT_INTEGRATION_KEY", ilertsim.DefaultSources()[1].Key)
		return
	}
	s := w.ilert
	if s == nil {
		ts.Fatalf("ilert start first")
	}
	const ada = 12
	id := func() int64 {
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		return n
	}
	switch args[0] {
	case "raise":
		a := ilertsim.Alert{Source: ilertsim.DefaultSources()[1].ID, Summary: args[2], Key: "mon-" + strings.ToLower(args[1])}
		ts.Setenv(args[1], strconv.FormatInt(s.Raise(a), 10))
	case "accept":
		ts.Check(s.Accept(id(), ada))
	case "resolve":
		ts.Check(s.Resolve(id(), ada))
	case "comment":
		ts.Check(s.Comment(id(), ada, args[2]))
	case "rename":
		ts.Check(s.Rename(id(), args[2]))
	case "fault":
		ts.Check(s.Fault(args[1]))
	case "heal":
		s.Heal()
	case "show":
		for _, a := range s.All() {
			fmt.Fprintf(ts.Stdout(), "%s|%s|%s\n", a.Status, a.Key, a.Summary)
		}
	case "log":
		for _, e := range s.Log(id()) {
			fmt.Fprintln(ts.Stdout(), e.Text)
		}
	case "writes":
		fmt.Fprintln(ts.Stdout(), s.Writes())
	default:
		ts.Fatalf("ilert %s?", args[0])
	}
}
