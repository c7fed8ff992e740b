package main

import (
	"github.com/spf13/cobra"

	"scimbridge/internal/mapper"
)

func newSchema(io streams) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the mapping file", Args: cobra.NoArgs,
		Long: `Print the JSON Schema (draft 7) of the mapping file, with which editors complete and mark errors:

  scimbridge schema > mapping.schema.json

and, as the first line of mapping.yaml:  # yaml-language-server: $schema=mapping.schema.json
What a schema cannot say, scimbridge validate does.`,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.out.Write(mapper.Schema())
			return err
		},
	}
}
