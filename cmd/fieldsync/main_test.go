package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fieldsync/fieldsync/connectors/servertest"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

func TestMain(m *testing.M) {
	testscript.Main(servertest.Main(m), map[string]func(){"fieldsync": fieldsync, "fragile": serveFragile})
}

// fieldsync is the program as scripts see it. CLOCK, where a script sets it, stands still.
func fieldsync() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGXFSZ) // as main does
	std := stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.LookupEnv}
	if clock := os.Getenv("CLOCK"); clock != "" {
		t, err := time.Parse(time.RFC3339, clock)
		if err != nil {
			panic(err)
		}
		std.Now = func() time.Time { return t }
	}
	os.Exit(run(ctx, os.Args[1:], std))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("", nil))
}

func TestScriptsWithPostgreSQL(t *testing.T) {
	testscript.Run(t, scripts("postgres", map[string]string{"DESK_URL": sqltest.Postgres(t), "STATE_URL": sqltest.Postgres(t), "NODES_URL": sqltest.Postgres(t)}))
}

func TestScriptsWithMariaDB(t *testing.T) {
	testscript.Run(t, scripts("mariadb", map[string]string{"DESK_DSN": sqltest.MariaDB(t)}))
}

// scripts are those of one folder, with more of an environment.
func scripts(folder string, environment map[string]string) testscript.Params {
	return testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script", folder),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Values[worldKey{}] = &world{}
			for name, value := range environment {
				env.Setenv(name, value)
			}
			root, err := filepath.Abs(filepath.Join("..", ".."))
			env.Setenv("ROOT", root)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":       code,
			"sqlite":     sqlite,
			"snow":       snow,
			"alarms":     alarms,
			"ilert":      ilert,
			"desk":       desk,
			"follow":     follow,
			"tool":       tool,
			"port":       port,
			"digest":     digest,
			"restorable": restorable,
			"hash":       hash,
			"hook":       hook,
			"sysid":      sysid,
			"await":      await,
			"sub":        sub,
			"shelf":      shelf,
			"breaks":     breaks,
			"sink":       sink,
		},
	}
}
