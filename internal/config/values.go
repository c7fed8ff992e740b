package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"scimbridge/internal/strictyaml"
)

// Cloud is one of Microsoft's separate clouds; tokens and guests do not cross between them.
type Cloud string

// The clouds, with the addresses of Microsoft's page on national cloud deployments.
const (
	Global   Cloud = "global"    // the public cloud and US GCC
	USGov    Cloud = "usgov"     // US Government L4 (GCC High)
	USGovDoD Cloud = "usgov-dod" // US Government L5 (DoD)
	China    Cloud = "china"     // operated by 21Vianet
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Cloud) UnmarshalText(text []byte) error {
	return choose(c, text, Global, USGov, USGovDoD, China)
}

// addresses returns the roots of Graph and of the sign-in.
func (c Cloud) addresses() (graph, login string) {
	switch c {
	case USGov:
		return "https://graph.microsoft.us", "https://login.microsoftonline.us"
	case USGovDoD:
		return "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"
	case China:
		return "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"
	}
	return "https://graph.microsoft.com", "https://login.microsoftonline.com"
}

// CredentialKind is a way to prove who the app is.
type CredentialKind string

// The kinds of credential. The last three leave no long-lived secret in a text file.
const (
	ClientSecret     CredentialKind = "secret"            // a client secret of the app registration
	Certificate      CredentialKind = "certificate"       // a certificate of the app registration
	ManagedIdentity  CredentialKind = "managed_identity"  // the identity of the Azure VM or Arc server
	WorkloadIdentity CredentialKind = "workload_identity" // a federated token that something else writes to a file
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *CredentialKind) UnmarshalText(text []byte) error {
	return choose(k, text, ClientSecret, Certificate, ManagedIdentity, WorkloadIdentity)
}

// LogFormat is the form of a log line.
type LogFormat string

// The forms of a log line.
const (
	Text LogFormat = "text" // key=value, for people and the journal
	JSON LogFormat = "json" // one object a line, for machines
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *LogFormat) UnmarshalText(text []byte) error { return choose(f, text, Text, JSON) }

// Level is the least severity that is logged. It implements slog.Leveler.
type Level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	var name string
	if err := choose(&name, text, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return (*slog.Level)(l).UnmarshalText([]byte(name))
}

// Level implements slog.Leveler.
func (l Level) Level() slog.Level { return slog.Level(l) }

// choose sets into to the one of choices that text names, or says which there are.
func choose[T ~string](into *T, text []byte, choices ...T) error {
	if slices.Contains(choices, T(text)) {
		*into = T(text)
		return nil
	}
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = string(c)
	}
	if s := strictyaml.Suggest(string(text), names); s != "" {
		return fmt.Errorf("%q is not known here (did you mean %q?)", text, s)
	}
	last := len(names) - 1
	return fmt.Errorf("%q is not known here; write %s or %s", text, strings.Join(names[:last], ", "), names[last])
}

// pastedSecret is the value of a key under which people put the secret itself. It keeps that
// it was given, never what.
type pastedSecret bool

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *pastedSecret) UnmarshalText([]byte) error {
	*p = true
	return errors.New(`a secret must not stand in this file; put it in a file of its own and name that with "file" (and change the secret if others could read this file)`)
}
