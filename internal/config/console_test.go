package config_test

import (
	"strings"
	"testing"

	"scimbridge/internal/config"
)

const aroundConsole = `entra: {tenant_id: 72f988bf-86f1-41af-91ab-2d7cd011db47, client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8, credential: {kind: managed_identity}}
console: `

func TestConsole(t *testing.T) {
	cfg, problems := config.Parse("/etc/s/scimbridge.yaml", []byte(aroundConsole+"{}\n"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if cfg.Console.Listen != "127.0.0.1:8090" || cfg.Console.Entra != nil {
		t.Errorf("%+v", cfg.Console)
	}
	cfg, problems = config.Parse("/etc/s/scimbridge.yaml", []byte(aroundConsole+"{listen: '0.0.0.0:8443', public_url: 'https://console.contoso.example/', tls: {cert_file: c.crt, key_file: c.key}, entra: {client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8, secret_file: s}}\n"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	c := cfg.Console
	if c.BaseURL(nil) != "https://console.contoso.example" || c.TLS.CertFile.Path() != "/etc/s/c.crt" || c.Entra.SecretFile.Path() != "/etc/s/s" {
		t.Errorf("%+v", c)
	}
}

func TestConsoleMistakes(t *testing.T) {
	for bad, want := range map[string]string{
		"{listen: here}":             "host:port",
		"{listen: '192.0.2.1:8090'}": "add tls",
		"{listen: '127.0.0.1:8080'}": "another listener already",
		"{listen: '0.0.0.0:8443', tls: {cert_file: c, key_file: k}}": "add console.public_url",
		"{tls: {cert_file: c}}":                                                       "needs key_file",
		"{public_url: 'http://x.test'}":                                               "plain http",
		"{public_url: 'https://x.test/console'}":                                      "without the path /console",
		"{entra: {secret_file: s}}":                                                   "needs client_id",
		"{entra: {client_id: me, secret_file: s}}":                                    "not a client id",
		"{entra: {client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8}}":                  "needs secret_file",
		"{entra: {client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8, secret: hunter2}}": "must not stand in this file",
		"{theme: dark}": "unknown key",
	} {
		_, problems := config.Parse("s.yaml", []byte(aroundConsole+bad+"\n"))
		if problems.Err() == nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, problems, want)
		}
	}
	byName := strings.Replace(aroundConsole, "72f988bf-86f1-41af-91ab-2d7cd011db47", "contoso.onmicrosoft.com", 1)
	_, problems := config.Parse("s.yaml", []byte(byName+"{entra: {client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8, secret_file: s}}\n"))
	if !strings.Contains(problems.Error(), "needs the tenant's id") {
		t.Errorf("a domain with a sign-in: %v", problems)
	}
}
