package config

import (
	"net/url"
	"path/filepath"
	"strings"
)

// DatabaseAuth is how PostgreSQL is signed in to.
type DatabaseAuth string

// The ways to sign in to PostgreSQL. The zero value means DatabaseAuthPassword.
const (
	DatabaseAuthPassword DatabaseAuth = "password"
	DatabaseAuthEntra    DatabaseAuth = "entra"
)

// OnPostgres reports whether the database is a PostgreSQL server's rather than a file.
func (c *Config) OnPostgres() bool {
	lower := strings.ToLower(c.Database)
	return strings.HasPrefix(lower, "postgres://") || strings.HasPrefix(lower, "postgresql://")
}

// Beside is the path of what stands beside the database, such as the journal's key: PATH.audit-key beside a file, in State beside
// a server.
func (c *Config) Beside(suffix string) string {
	if c.OnPostgres() {
		return filepath.Join(c.State, "journal"+suffix)
	}
	return c.Database + suffix
}

// database checks where the data is kept. Secrets stand in files, and so not in the address.
func (v *validator) database(c *Config) {
	switch lower := strings.ToLower(c.Database); {
	case c.OnPostgres():
		v.postgres(c)
		return
	case strings.Contains(lower, "://") || strings.HasPrefix(lower, "file:") || strings.HasPrefix(lower, "sqlite:") || strings.HasPrefix(lower, ":memory:"):
		v.add(at("database"), "%q is neither a path nor an address of PostgreSQL; write the path of a file, such as /var/lib/scimbridge/scimbridge.db, or postgres://user@host/name", c.Database)
	}
	if !c.DatabasePasswordFile.IsZero() {
		v.add(at("database_password_file"), "a file has no password; this belongs to a database of PostgreSQL (postgres://…)")
	}
	if c.DatabaseAuth != "" {
		v.add(at("database_auth"), "a file needs no signing in; this belongs to a database of PostgreSQL (postgres://…)")
	}
}

func (v *validator) postgres(c *Config) {
	u, err := url.Parse(c.Database)
	switch {
	case err != nil || !strings.HasPrefix(c.Database, "postgres"):
		v.add(at("database"), "the address cannot be read; write postgres://user@host:5432/name?sslmode=verify-full")
		return
	case strings.Trim(u.Path, "/") == "":
		v.add(at("database"), "the address names no database; write postgres://user@host:5432/name?sslmode=verify-full")
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		v.add(at("database"), "the address has a password in it; write it into a file and name that in database_password_file")
	}
	switch c.DatabaseAuth {
	case "", DatabaseAuthPassword:
	case DatabaseAuthEntra:
		if !c.DatabasePasswordFile.IsZero() {
			v.add(at("database_password_file"), "with database_auth: entra the token is the password; leave one of the two out")
		}
	default:
		v.add(at("database_auth"), "%q is not a way to sign in; write password or entra", c.DatabaseAuth)
	}
	mode := u.Query().Get("sslmode")
	if host := u.Hostname(); host != "" && !loopback(host) && mode != "verify-full" && mode != "verify-ca" {
		v.warn(at("database"), "sslmode is not verify-full: whoever can answer for %s reads every record; add ?sslmode=verify-full, and sslrootcert=FILE where the server's authority is your own", host)
	}
}
