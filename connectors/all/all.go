// Package all is the table of the connectors that fieldsync is built with.
//
// Settings that cannot be decoded are the mapping's errors, settings that make no sense those of Config.Open.
package all

import (
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/dataminer"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/connectors/ilert"
	"github.com/fieldsync/fieldsync/connectors/plugin"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/sql"
)

// Registry has every built-in connector by the name that a connection block calls it. The caller may add to it.
func Registry() connectors.Registry {
	return connectors.Registry{
		"file":       file.New,
		"dataminer":  dataminer.New,
		"ilert":      ilert.New,
		"plugin":     plugin.New,
		"rest":       rest.New,
		"servicenow": servicenow.New,
		"sql":        sql.New,
	}
}
