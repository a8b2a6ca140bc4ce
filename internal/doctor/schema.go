package doctor

import (
	_ "embed" // for the schema
)

//go:embed doctor.schema.json
var schema string

// Schema is the JSON schema of a Report, as docs/doctor.schema.json has it.
func Schema() []byte { return []byte(schema) }
