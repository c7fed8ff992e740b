package mapper

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 7) of the mapping file. Editors complete and mark errors with it; Parse knows more.
func Schema() []byte { return slices.Clone(schema) }
