package file

import "github.com/fieldsync/fieldsync/connectors"

// BeforeRename has f called in each rewrite when the new file is ready to replace the old one.
func BeforeRename(c connectors.Collection, f func()) { c.(*collection).queue.pause = f }
