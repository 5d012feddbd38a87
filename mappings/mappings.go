// Package mappings carries the shipped mapping files inside the binary, for the demo and the tests, and the shipped
// descriptions of tools, for rest connections. It is data alone; README.md beside it is the language reference.
package mappings

import "embed"

// Files are the shipped mapping files, as they stand in this folder.
//
//go:embed *.hcl
var Files embed.FS

// Systems are the shipped descriptions of tools, in the folder systems.
//
//go:embed systems/*.hcl
var Systems embed.FS
