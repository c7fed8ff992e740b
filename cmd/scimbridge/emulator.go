package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"scimbridge/internal/entra/emulator"
)

func newEmulator(io streams) *cobra.Command {
	var graphAddr, loginAddr, caFile string
	var seed uint64
	var cfg emulator.Config
	cmd := &cobra.Command{
		Use:   "emulator",
		Short: "Run the Entra emulator alone, on loopback, for tests of your own",
		Long: `Run the Entra emulator alone. It speaks the part of Microsoft Graph v1.0 that a guest bridge calls, and the client
credentials grant, on loopback only. It is unkind by default: short pages, replication lag, some 429s and 5xx, all from the
seed that it prints. See docs/emulator.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Seed = seed
			e, err := emulator.New(cfg)
			if err != nil {
				return err
			}
			if err := seedTenant(e); err != nil {
				return err
			}
			srv, err := e.Start(cmd.Context(), emulator.StartConfig{GraphAddr: graphAddr, LoginAddr: loginAddr})
			if err != nil {
				return err
			}
			defer srv.Close()                                              //nolint:errcheck // the process ends
			if err := os.WriteFile(caFile, srv.CAPEM, 0o644); err != nil { //nolint:gosec // a certificate is public
				return fmt.Errorf("the emulator's root certificate cannot be written; name another file with --ca-file: %w", err)
			}
			fmt.Fprintf(io.out, "graph_url:  %s\nlogin_url:  %s\nca_file:    %s\ntenant_id:  %s\nclient_id:  %s\nsecret:     %s\nseed:       %d\n",
				srv.GraphURL, srv.LoginURL, caFile, e.Config().TenantID, e.Config().ClientID, emulator.DefaultClientSecret, seed)
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&graphAddr, "graph", "127.0.0.1:9009", "address of Graph, loopback only")
	f.StringVar(&loginAddr, "login", "127.0.0.1:9010", "address of the token authority (https), loopback only")
	f.StringVar(&caFile, "ca-file", "emulator-ca.pem", "where to write the root certificate of the authority")
	f.Uint64Var(&seed, "seed", 1, "of everything that is random")
	return cmd
}
