package config_test

import (
	"strings"
	"testing"
	"time"

	"scimbridge/internal/config"
)

const aroundNotify = `entra: {tenant_id: contoso.onmicrosoft.com, client_id: 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8, credential: {kind: managed_identity}}
notify: `

func TestNotify(t *testing.T) {
	cfg, problems := config.Parse("/etc/s/scimbridge.yaml", []byte(aroundNotify+"{sender: smtp, from: a@b.example, key_file: notify.key, smtp: {host: 'mail.b.example:587', username: u, password_file: pw}, at: '06:30', timezone: Europe/Berlin}\n"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	n := cfg.Notify
	if n.AtTime() != 6*time.Hour+30*time.Minute || n.LinkLife != 336*time.Hour || n.Language != "en" || n.SMTP.Security != config.StartTLS || n.KeyFile.Path() != "/etc/s/notify.key" || n.SMTP.PasswordFile.Path() != "/etc/s/pw" {
		t.Errorf("%+v %+v", n, n.SMTP)
	}
}

func TestNotifyMistakes(t *testing.T) {
	for bad, want := range map[string]string{
		"{from: a@b.example, key_file: k}":                                                                      "needs sender",
		"{sender: pigeon, from: a@b.example, key_file: k}":                                                      "graph or smtp",
		"{sender: graph, key_file: k}":                                                                          "needs from",
		"{sender: graph, from: 'A <a@b.example>', key_file: k}":                                                 "write it bare",
		"{sender: graph, from: a@b.example}":                                                                    "needs key_file",
		"{sender: smtp, from: a@b.example, key_file: k}":                                                        "needs smtp",
		"{sender: graph, from: a@b.example, key_file: k, smtp: {host: 'h:25'}}":                                 "no mail server",
		"{sender: smtp, from: a@b.example, key_file: k, smtp: {host: h}}":                                       "host:port",
		"{sender: smtp, from: a@b.example, key_file: k, smtp: {host: 'h:25', username: u}}":                     "belong together",
		"{sender: smtp, from: a@b.example, key_file: k, smtp: {host: 'h:25', username: u, password: hunter2}}":  "must not stand in this file",
		"{sender: graph, from: a@b.example, key_file: k, at: noon}":                                             "HH:MM",
		"{sender: graph, from: a@b.example, key_file: k, timezone: Mars}":                                       "not a time zone",
		"{sender: graph, from: a@b.example, key_file: k, language: German}":                                     "two letters",
		"{sender: graph, from: a@b.example, key_file: k, link_life: 1m}":                                        "out of range",
		"{sender: graph, from: a@b.example, key_file: k, listen: '127.0.0.1:8080'}":                             "the vendor door's address already",
		"{sender: graph, from: a@b.example, key_file: k, listen: '0.0.0.0:9000', public_url: 'https://x.test'}": "without a sign-in",
		"{sender: graph, from: a@b.example, key_file: k, listen: '127.0.0.1:9000'}":                             "needs public_url",
		"{sender: graph, from: a@b.example, key_file: k, public_url: 'http://x.test'}":                          "plain http",
	} {
		_, problems := config.Parse("s.yaml", []byte(aroundNotify+bad+"\n"))
		if problems.Err() == nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, problems, want)
		}
	}
}
