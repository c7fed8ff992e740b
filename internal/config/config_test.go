package config_test

import (
	"flag"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"scimbridge/internal/config"
	"scimbridge/internal/siem"
)

const entra = `
entra:
  tenant_id: contoso.onmicrosoft.com
  client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8
  credential: {kind: certificate, file: entra.pem}
`

// Each file of testdata holds one mistake. Its lines "# want: LINE:COLUMN: MESSAGE" at the end
// are all that Parse may say of it. With -update they are written anew: read them then.
func TestEachMistakeHasItsMessage(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut(string(data), "# want: ")
			want = strings.ReplaceAll(strings.TrimSuffix(want, "\n"), "\n# want: ", "\n")
			cfg, problems := config.Parse("f", data)
			got := strings.TrimPrefix(strings.ReplaceAll(problems.Error(), "\nf:", "\n"), "f:")
			if *update {
				text += "# want: " + strings.ReplaceAll(got, "\n", "\n# want: ") + "\n"
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if got == "" {
				t.Error("no mistake was found")
			}
			if (cfg == nil) != (problems.Err() != nil) {
				t.Errorf("config returned: %v, with error %v", cfg != nil, problems.Err())
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "notARealSecret") || strings.Contains(got, "MIIEvQ") {
				t.Error("the message repeats a secret")
			}
		})
	}
}

var update = flag.Bool("update", false, "write the messages of testdata anew")

func TestDefaults(t *testing.T) {
	cfg, problems := config.Parse("/etc/scimbridge/scimbridge.yaml", []byte(entra))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &config.Config{
		Listen:      "127.0.0.1:8080",
		Database:    "/var/lib/scimbridge/scimbridge.db",
		State:       "/var/lib/scimbridge",
		Mapping:     "/etc/scimbridge/mapping.yaml",
		AdminSocket: "/run/scimbridge/admin.sock",
		Entra: config.Entra{
			Cloud:      config.Global,
			TenantID:   "contoso.onmicrosoft.com",
			ClientID:   "9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
			Credential: config.Credential{Kind: config.Certificate},
			GraphURL:   "https://graph.microsoft.com/v1.0",
			LoginURL:   "https://login.microsoftonline.com",
		},
		Log:             config.Log{Level: config.Level(slog.LevelInfo), Format: config.Text},
		ShutdownTimeout: 20 * time.Second,
		Workers:         32,
		Audit:           siem.Settings{Checkpoints: siem.Checkpoints{Every: time.Hour}},
	}
	if diff := cmp.Diff(want, cfg, cmpopts.IgnoreTypes(config.CredentialFile{}), cmpopts.IgnoreUnexported(config.Credential{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := cfg.Entra.Credential.File.Path(); got != "/etc/scimbridge/entra.pem" {
		t.Errorf("credential file %s", got)
	}
}

func TestEveryKeyArrivesWhereItBelongs(t *testing.T) {
	cfg, problems := config.Parse("conf/scimbridge.yaml", []byte(`
listen: "[::]:8443"
public_url: https://scim.contoso.example/bridge/
tls: {cert_file: tls/cert.pem, key_file: /keys/tls.key}
database: data/bridge.db
mapping: ../mapping.yaml
admin_socket: /run/a.sock
metrics: {listen: localhost:9464}
entra:
  cloud: usgov-dod
  tenant_id: 72f988bf-86f1-41af-91ab-2d7cd011db47
  credential: {kind: managed_identity}
  graph_url: http://127.0.0.1:9009/v1.0/
  login_url: https://127.0.0.1:9010/
  ca_file: ca.pem
log: {level: debug, format: json}
shutdown_timeout: 1m30s
workers: 64
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for what, pair := range map[string][2]any{
		"listen":           {cfg.Listen, "[::]:8443"},
		"public_url":       {cfg.PublicURL, "https://scim.contoso.example/bridge"},
		"cert_file":        {cfg.TLS.CertFile.Path(), "conf/tls/cert.pem"},
		"key_file":         {cfg.TLS.KeyFile.Path(), "/keys/tls.key"},
		"database":         {cfg.Database, "conf/data/bridge.db"},
		"mapping":          {cfg.Mapping, "mapping.yaml"},
		"admin_socket":     {cfg.AdminSocket, "/run/a.sock"},
		"metrics":          {cfg.Metrics.Listen, "localhost:9464"},
		"cloud":            {cfg.Entra.Cloud, config.USGovDoD},
		"tenant_id":        {cfg.Entra.TenantID, "72f988bf-86f1-41af-91ab-2d7cd011db47"},
		"client_id":        {cfg.Entra.ClientID, ""},
		"kind":             {cfg.Entra.Credential.Kind, config.ManagedIdentity},
		"graph_url":        {cfg.Entra.GraphURL, "http://127.0.0.1:9009/v1.0"},
		"login_url":        {cfg.Entra.LoginURL, "https://127.0.0.1:9010"},
		"ca_file":          {cfg.Entra.CAFile, "conf/ca.pem"},
		"level":            {cfg.Log.Level.Level(), slog.LevelDebug},
		"format":           {cfg.Log.Format, config.JSON},
		"shutdown_timeout": {cfg.ShutdownTimeout, 90 * time.Second},
		"workers":          {cfg.Workers, 64},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestCloudsHaveTheirAddresses(t *testing.T) {
	for cloud, want := range map[string][2]string{
		"global":    {"https://graph.microsoft.com/v1.0", "https://login.microsoftonline.com"},
		"usgov":     {"https://graph.microsoft.us/v1.0", "https://login.microsoftonline.us"},
		"usgov-dod": {"https://dod-graph.microsoft.us/v1.0", "https://login.microsoftonline.us"},
		"china":     {"https://microsoftgraph.chinacloudapi.cn/v1.0", "https://login.chinacloudapi.cn"},
	} {
		t.Run(cloud, func(t *testing.T) {
			cfg, problems := config.Parse("f", []byte(entra+"  cloud: "+cloud+"\n"))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := [2]string{cfg.Entra.GraphURL, cfg.Entra.LoginURL}; got != want {
				t.Errorf("addresses %v, want %v", got, want)
			}
		})
	}
}

func TestLoopbackNeedsNoTLS(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "127.9.9.9:80", "'[::1]:8080'", "localhost:8080"} {
		t.Run(listen, func(t *testing.T) {
			if _, problems := config.Parse("f", []byte("listen: "+listen+entra)); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	const tls = "tls: {cert_file: a, key_file: b}\n"
	tests := []struct{ name, file, bound, want string }{
		{"from listen", "listen: localhost:8080\n", "127.0.0.1:8080", "http://localhost:8080"},
		{"with the port that was given", "listen: '[::1]:0'\n", "[::1]:40123", "http://[::1]:40123"},
		{"with tls", tls + "listen: scim.contoso.example:443\n", "10.0.0.5:443", "https://scim.contoso.example:443"},
		{"as said", "public_url: https://scim.contoso.example/\n", "127.0.0.1:8080", "https://scim.contoso.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, problems := config.Parse("f", []byte(tt.file+entra))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			bound, err := net.ResolveTCPAddr("tcp", tt.bound)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.BaseURL(bound); got != tt.want {
				t.Errorf("BaseURL = %s, want %s", got, tt.want)
			}
		})
	}
}

// The file that is shipped loads; all it asks of the administrator are the two ids.
func TestShippedFileLoads(t *testing.T) {
	cfg, problems := config.Load("../../configs/scimbridge.yaml")
	if cfg == nil {
		t.Fatal(problems)
	}
	var messages []string
	for _, p := range problems {
		messages = append(messages, p.Message)
	}
	want := []string{"this is the example's tenant_id; write your own", "this is the example's client_id; write your own"}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// So does the one for several nodes.
func TestShippedFileForNodesLoads(t *testing.T) {
	cfg, problems := config.Load("../../configs/scimbridge-postgres.yaml")
	if cfg == nil {
		t.Fatal(problems)
	}
	if !cfg.OnPostgres() || cfg.Beside(".audit-key") != "/var/lib/scimbridge/journal.audit-key" || cfg.DatabasePasswordFile.IsZero() {
		t.Errorf("%+v", cfg)
	}
}

// What the shipped file shows behind "# " loads too, and shows the true defaults.
func TestShippedFileShowsTheDefaults(t *testing.T) {
	data, err := os.ReadFile("../../configs/scimbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^( *)# ( *[a-z_]+:( .*)?)$`).ReplaceAllString(string(data), "$1$2")
	cfg, problems := config.Parse("f", []byte(text))
	if cfg == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	if cfg.TLS == nil || cfg.PublicURL == "" || cfg.Entra.CAFile == "" {
		t.Fatalf("the commented keys were not tried:\n%s", text)
	}
	plain, problems := config.Parse("/etc/scimbridge/scimbridge.yaml", []byte(entra))
	if plain == nil {
		t.Fatal(problems)
	}
	for what, pair := range map[string][2]any{
		"listen": {cfg.Listen, plain.Listen}, "database": {cfg.Database, plain.Database}, "mapping": {cfg.Mapping, plain.Mapping},
		"admin_socket": {cfg.AdminSocket, plain.AdminSocket}, "log": {cfg.Log, plain.Log},
		"shutdown_timeout": {cfg.ShutdownTimeout, plain.ShutdownTimeout}, "workers": {cfg.Workers, plain.Workers}, "cloud": {cfg.Entra.Cloud, plain.Entra.Cloud},
	} {
		if pair[0] != pair[1] {
			t.Errorf("the file shows %v for %s, the default is %v", pair[0], what, pair[1])
		}
	}
}

func TestLoadNamesTheFileThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scimbridge.yaml")
	cfg, problems := config.Load(path)
	if cfg != nil || problems.Error() != path+": there is no such file" {
		t.Errorf("config %v, problems %v", cfg != nil, problems)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../../configs/scimbridge.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, problems := config.Parse("f", data)
		if (cfg == nil) != (problems.Err() != nil) {
			t.Fatalf("config returned: %v, with error %v", cfg != nil, problems.Err())
		}
		if cfg == nil {
			return
		}
		if host, _, err := net.SplitHostPort(cfg.Listen); err != nil || cfg.TLS == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() && !strings.EqualFold(host, "localhost") {
			t.Errorf("listen %q was accepted without tls", cfg.Listen)
		}
		if !strings.HasPrefix(strings.ToLower(cfg.Entra.LoginURL), "https://") {
			t.Errorf("login_url %q was accepted", cfg.Entra.LoginURL)
		}
	})
}
