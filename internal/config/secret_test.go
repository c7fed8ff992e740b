package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"scimbridge/internal/config"
)

// credential parses a config in folder whose credential file is name.
func credential(t *testing.T, folder, name string) config.CredentialFile {
	t.Helper()
	text := strings.Replace(entra, "entra.pem", fmt.Sprintf("%q", name), 1)
	cfg, problems := config.Parse(filepath.Join(folder, "scimbridge.yaml"), []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg.Entra.Credential.File
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialFileIsFound(t *testing.T) {
	folder, credentials := t.TempDir(), t.TempDir()
	write(t, filepath.Join(folder, "both"), "from the folder")
	write(t, filepath.Join(credentials, "both"), "from systemd")
	write(t, filepath.Join(folder, "one"), "from the folder")
	tests := []struct{ name, file, credentials, want string }{
		{"systemd's first", "both", credentials, "from systemd"},
		{"the folder's where systemd has none of that name", "one", credentials, "from the folder"},
		{"the folder's without systemd", "both", "", "from the folder"},
		{"the folder's where a path is given", "./both", credentials, "from the folder"},
		{"an absolute path", filepath.Join(folder, "one"), credentials, "from the folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", tt.credentials)
			secret, err := credential(t, folder, tt.file).Read()
			if err != nil {
				t.Fatal(err)
			}
			if got := secret.Reveal(); got != tt.want {
				t.Errorf("read %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCredentialFileSaysWhyItCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	write(t, filepath.Join(folder, "empty"), " \n")
	write(t, filepath.Join(folder, "large"), strings.Repeat("x", 64<<10+1))
	tests := []struct{ name, want string }{
		{"absent", "is not there; create it, or name it in LoadCredential= of the systemd unit: "},
		{"empty", "is empty"},
		{"large", "is larger than 65536 bytes, so it is no credential"},
		{".", "is a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := credential(t, folder, tt.name).Read()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := credential(t, folder, "absent").Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error hides its cause: %v", err)
	}
	if _, err := (config.CredentialFile{}).Read(); err == nil {
		t.Error("no name, and yet read")
	}
}

func TestSecretNeverShows(t *testing.T) {
	folder := t.TempDir()
	const value = "hunter2-hunter2"
	write(t, filepath.Join(folder, "s"), value+"\n")
	secret, err := credential(t, folder, "s").Read()
	if err != nil {
		t.Fatal(err)
	}
	if secret.Reveal() != value || string(secret.Bytes()) != value+"\n" {
		t.Fatalf("read %q", secret.Bytes())
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T%v"} {
		fmt.Fprintf(&out, verb+"\n", secret)
		fmt.Fprintf(&out, verb+"\n", &secret)
		fmt.Fprintf(&out, verb+"\n", struct{ S config.Secret }{secret})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", secret, "inside", struct{ S config.Secret }{secret})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", secret, "inside", struct{ S config.Secret }{secret})
	for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		data, err := encode(map[string]any{"s": secret})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	text := out.String()
	for _, bad := range []string{"hunter", fmt.Sprintf("%x", "hunter"), fmt.Sprintf("%X", "hunter"), "104 117"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q shows in:\n%s", bad, text)
		}
	}
	if n := strings.Count(text, "<secret>") + strings.Count(text, `\u003csecret\u003e`); n < 20 {
		t.Errorf("<secret> is shown %d times only:\n%s", n, text)
	}
}

// Names that people give to files are not taken for secrets.
func TestNamesOfFilesAreAccepted(t *testing.T) {
	for _, name := range []string{
		"entra.pem", "scim-client-secret", "/run/secrets/azure/tokens/azure-identity-token", "C2~1.TXT",
		"./aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL", "scimbridge-production-entra-certificate-2026.pem", "9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
	} {
		t.Run(name, func(t *testing.T) {
			if got := credential(t, "/etc", name).String(); got != name {
				t.Errorf("name %q", got)
			}
		})
	}
}
