// Shelf is a plugin of fieldsync, for reading: it keeps tickets in a folder, one JSON file for each version of each of them.
//
// A version is a file KEY.N.JSON that is made whole and never touched again. Making it fails if it is there already, so that of two who
// change the same version one is told. The example beside it in JavaScript keeps the same files.
//
//	connection "plugin" "desk" {
//	  program = "shelf"
//	  sha256  = "…"
//	  settings {
//	    folder = "../desk" # each folder in it is a collection
//	  }
//	}
package main

import "github.com/fieldsync/fieldsync/connectors/plugin/serve"

func main() { serve.Plugin("shelf 1.0", New) }
