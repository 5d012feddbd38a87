package main

import (
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
)

func TestTheWorstCodeWins(t *testing.T) {
	for _, tt := range []struct{ a, b, want int }{
		{exitOK, exitOK, exitOK}, {exitOK, exitChanges, exitChanges}, {exitFailed, exitStopped, exitStopped}, {exitError, exitStopped, exitError},
		{exitChanges, exitFailed, exitFailed},
	} {
		if got, back := worst(tt.a, tt.b), worst(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("worst(%d, %d) = %d and %d, want %d", tt.a, tt.b, got, back, tt.want)
		}
	}
}

func TestOnlyThisMachineMayListen(t *testing.T) {
	for _, tt := range []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1:0", true}, {"localhost:0", true}, {"[::1]:0", true},
		{"0.0.0.0:0", false}, {":0", false}, {"example.com:0", false}, {"[::]:0", false}, {"127.0.0.1", false},
	} {
		l, err := listenLoopback(tt.addr)
		if err == nil {
			l.Close()
		}
		// A machine without IPv6 cannot listen on ::1, which is another matter.
		if got := err == nil || strings.Contains(err.Error(), "cannot assign"); got != tt.ok {
			t.Errorf("%s: %v", tt.addr, err)
		}
		if err != nil && project.WayOut(err) == "" {
			t.Errorf("%s: no way out in %v", tt.addr, err)
		}
	}
}
