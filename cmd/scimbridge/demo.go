package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

func newDemo(io streams) *cobra.Command {
	var stay bool
	var seed uint64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole story on an emulated tenant, in this process",
		Long: `Run the whole story in one process: an Entra emulator on loopback, the bridge over a database in a temporary folder, and
four vendors that push contractors over SCIM in the shapes of SAP Cloud Identity, Okta, Entra provisioning and Rippling.
Contracts end within seconds, so that everything is seen. What it claims at the end it asks the emulator, not itself.

Exit codes: 0 everything that should hold held, 1 something did not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			return demo(cmd.Context(), io.out, seed, stay)
		},
	}
	cmd.Flags().BoolVar(&stay, "serve", false, "stay up after the story, and say what to try")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "of the emulator's moods; 0: a new one, printed")
	return cmd
}

// stage is the demo's whole world: an emulated tenant, a running daemon, and four vendors with tokens.
type stage struct {
	dir      string
	tenant   *emulator.Emulator
	graph    *emulator.Server
	daemon   *daemon
	vendors  map[string]*vendorClient
	configAt string
	started  time.Time
}

// demoVendors are the sections of the demo's mapping.
func demoVendors() []string { return []string{"sap-ips", "okta", "entra", "rippling"} }

func demo(ctx context.Context, out io.Writer, seed uint64, stay bool) (err error) {
	fmt.Fprintf(out, "scimbridge demo: an emulated tenant, the bridge and four vendors in one process (emulator seed %d)\n\n", seed)
	st, err := setStage(ctx, seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close(ctx)) }()
	if err := tellStory(ctx, out, st); err != nil {
		return err
	}
	if !stay {
		return nil
	}
	st.sayWhatToTry(out)
	<-ctx.Done()
	return nil
}

// setStage starts everything. Nothing outside the temporary folder is written.
func setStage(ctx context.Context, seed uint64) (_ *stage, err error) {
	st := &stage{started: time.Now(), vendors: map[string]*vendorClient{}}
	defer func() {
		if err != nil {
			_ = st.close(ctx)
		}
	}()
	if st.dir, err = os.MkdirTemp("", "scimbridge-demo-"); err != nil {
		return st, err
	}
	if st.tenant, err = emulator.New(emulator.Config{Seed: seed, Lag: 500 * time.Millisecond}); err != nil {
		return st, err
	}
	if err := seedTenant(st.tenant); err != nil {
		return st, err
	}
	if st.graph, err = st.tenant.Start(ctx, emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"}); err != nil {
		return st, err
	}
	cfg, err := st.writeFiles()
	if err != nil {
		return st, err
	}
	log := slog.New(slog.DiscardHandler) // the timeline below is the demo's log
	st.daemon, err = start(ctx, options{config: cfg, log: log})
	if err != nil {
		return st, err
	}
	return st, st.addVendors(ctx)
}

// writeFiles writes what an admin would: the configuration, the client secret in a file of its own, and the mapping.
func (st *stage) writeFiles() (*config.Config, error) {
	files := map[string]string{
		"secret":       emulator.DefaultClientSecret + "\n",
		"ca.pem":       string(st.graph.CAPEM),
		"mapping.yaml": demoMapping,
		"scimbridge.yaml": fmt.Sprintf(`listen: 127.0.0.1:0
database: scimbridge.db
mapping: mapping.yaml
admin_socket: admin.sock
console: {listen: 127.0.0.1:0}
patience: {settle: 5s, invite_window: 3s, native_grace: 1s, invite_settle: 500ms}
entra:
  tenant_id: %s
  client_id: %s
  credential: {kind: secret, file: ./secret}
  graph_url: %s
  login_url: %s
  ca_file: ca.pem
`, st.tenant.Config().TenantID, st.tenant.Config().ClientID, st.graph.GraphURL, st.graph.LoginURL),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(st.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	st.configAt = filepath.Join(st.dir, "scimbridge.yaml")
	cfg, problems := config.Load(st.configAt)
	return cfg, problems.Err()
}

func (st *stage) addVendors(ctx context.Context) error {
	for _, name := range demoVendors() {
		token := scim.NewToken()
		if _, err := st.daemon.store.AddToken(ctx, admin(), contractor.Token{Vendor: name, Hash: scim.HashToken(token)}, "demo"); err != nil {
			return err
		}
		mime := "application/scim+json"
		if name == "okta" {
			mime = "application/json"
		}
		st.vendors[name] = &vendorClient{name: name, base: "http://" + st.daemon.scimAddr.String() + "/scim/v2", token: token, mime: mime, http: &http.Client{}}
	}
	return nil
}

func (st *stage) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var errs []error
	if st.daemon != nil {
		errs = append(errs, st.daemon.stop(ctx))
	}
	if st.graph != nil {
		errs = append(errs, st.graph.Close())
	}
	if st.dir != "" {
		errs = append(errs, os.RemoveAll(st.dir))
	}
	return errors.Join(errs...)
}

func (st *stage) sayWhatToTry(out io.Writer) {
	okta := st.vendors["okta"]
	tomorrow := time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02")
	fmt.Fprintf(out, `
The bridge stays up until Ctrl-C. Its files are in %[1]s

  SCIM      %[2]s
  Graph     %[3]s  (the emulated tenant; its true state: %[4]s/_emulator/state)

Try, in another terminal:

  export TOKEN=%[5]s

  # a contractor of vendor okta, until the day after tomorrow
  curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/scim+json' %[2]s/Users -d '{
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:contractor:2.0:User"],
    "userName": "eve@kforce.example", "title": "Engineer", "name": {"givenName": "Eve", "familyName": "Moneypenny"},
    "emails": [{"value": "eve@kforce.example", "primary": true}],
    "urn:ietf:params:scim:schemas:extension:contractor:2.0:User": {"supplier": "Kforce", "endDate": "%[6]s", "sponsorEmail": "sponsor@contoso.example"}}'

  # what the bridge says about its vendor's people
  curl -s -H "Authorization: Bearer $TOKEN" %[2]s/Users

  # ended now: take the id from above
  curl -s -H "Authorization: Bearer $TOKEN" -X DELETE %[2]s/Users/ID

  # the console: a link that signs you in
  go run ./cmd/scimbridge console --config %[7]s

  # how the daemon is, and whether the journal is whole
  go run ./cmd/scimbridge status --config %[7]s
  go run ./cmd/scimbridge audit verify --config %[7]s
`, st.dir, okta.base, st.graph.GraphURL, trimVersion(st.graph.GraphURL), okta.token, tomorrow, st.configAt)
}
