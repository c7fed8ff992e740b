package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret bounds a credential file, in bytes. A PKCS#12 file with a long chain has a few
// thousand.
const maxSecret = 64 << 10

// credentialsDirectory is the variable by which systemd says where LoadCredential= put its
// files (systemd.exec(5), "Credentials").
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// CredentialFile names a file that holds a key or a secret. A name without a slash is looked
// for in $CREDENTIALS_DIRECTORY first, where systemd puts what LoadCredential= names; then,
// as any relative path, in the folder of the config file. The zero value names no file.
type CredentialFile struct {
	name   string
	folder string
}

// UnmarshalText implements encoding.TextUnmarshaler. It refuses what looks like the secret
// itself, without repeating it.
func (f *CredentialFile) UnmarshalText(text []byte) error {
	name := string(text)
	if looksSecret(name) {
		return errors.New("this looks like the secret itself; put it in a file of its own and name the file here (and change the secret if others could read this file)")
	}
	if strings.TrimSpace(name) == "" {
		return errors.New("the name of a file is missing")
	}
	f.name = name
	return nil
}

// looksSecret tells a pasted key, client secret or token from a path. A path of one name
// that is taken for a secret can be written as ./name.
func looksSecret(s string) bool {
	switch {
	case strings.Contains(s, "-----BEGIN") || strings.ContainsAny(s, "\n\r"): // PEM
		return true
	case strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2: // a JWT
		return true
	case strings.ContainsRune(s, '/') || len(s) < 32:
		return false
	}
	mixed := strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
	return len(s) > 255 || // longer than a file's name may be
		strings.Contains(s, "~") || // stands inside each client secret of Entra
		mixed && !strings.ContainsAny(s, ".-_ ")
}

// IsZero reports whether no file is named.
func (f CredentialFile) IsZero() bool { return f.name == "" }

// String returns the name as the config file has it.
func (f CredentialFile) String() string { return f.name }

// Path returns where the file is: in $CREDENTIALS_DIRECTORY if it is there, else below the
// folder of the config file. It is "" where no file is named.
func (f CredentialFile) Path() string {
	if f.IsZero() || filepath.IsAbs(f.name) {
		return f.name
	}
	if dir := os.Getenv(credentialsDirectory); dir != "" && filepath.Base(f.name) == f.name {
		path := filepath.Join(dir, f.name)
		if _, err := os.Stat(path); err == nil { //nolint:gosec // systemd says where its credentials are
			return path
		}
	}
	return below(f.folder, f.name)
}

// Read returns what the file holds, at most 64 KiB. The error says what to do; it wraps the
// error of the file system.
func (f CredentialFile) Read() (Secret, error) {
	if f.IsZero() {
		return Secret{}, errors.New("no credential file is named")
	}
	path := f.Path()
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Secret{}, fmt.Errorf("credential file %s is not there; create it, or name it in LoadCredential= of the systemd unit: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return Secret{}, fmt.Errorf("credential file %s may not be read by this user; give it to the service's user, or pass it with LoadCredential= of the systemd unit: %w", path, err)
	case err != nil:
		return Secret{}, fmt.Errorf("credential file %s: %w", path, err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch {
	case err != nil:
		return Secret{}, fmt.Errorf("credential file %s: %w", path, err)
	case len(data) > maxSecret:
		return Secret{}, fmt.Errorf("credential file %s is larger than %d bytes, so it is no credential", path, maxSecret)
	case len(strings.TrimSpace(string(data))) == 0:
		return Secret{}, fmt.Errorf("credential file %s is empty", path)
	}
	return Secret{data}, nil
}

// Secret is what a credential file holds. However it is printed, logged or encoded, it shows
// as <secret>.
type Secret struct{ data []byte }

const shown = "<secret>"

// Bytes returns the file's bytes. The caller must not change them.
func (s Secret) Bytes() []byte { return s.data }

// Reveal returns the secret as text, without the blanks and line ends around it that editors
// and echo add.
func (s Secret) Reveal() string { return strings.TrimSpace(string(s.data)) }

// Format implements fmt.Formatter, so that no verb prints the bytes.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, shown) }

// String implements fmt.Stringer.
func (Secret) String() string { return shown }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalText implements encoding.TextMarshaler, which JSON, XML and YAML use.
func (Secret) MarshalText() ([]byte, error) { return []byte(shown), nil }
