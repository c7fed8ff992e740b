package main

import (
	"strings"

	"scimbridge/internal/config"
	"scimbridge/internal/entra"
)

// newCredential makes the token source that the configuration describes. The authority is named to the client only where it is
// not the cloud's own: a named one is not looked up at Microsoft.
func newCredential(e config.Entra) (*entra.Credential, error) {
	cloud, err := entra.CloudNamed(string(e.Cloud))
	if err != nil {
		return nil, err
	}
	c := entra.CredentialConfig{
		Cloud: cloud, TenantID: e.TenantID, ClientID: e.ClientID, Kind: entra.CredentialKind(e.Credential.Kind),
		File: e.Credential.File.Path(), PasswordFile: e.Credential.PasswordFile.Path(), CAFile: e.CAFile,
	}
	if e.LoginURL != strings.TrimRight(cloud.LoginURL, "/") {
		c.LoginURL = e.LoginURL
	}
	return entra.NewCredential(c)
}

// graphScope is what the token is asked for: the cloud's Graph, also where graph_url names an emulator.
func graphScope(e config.Entra) (string, error) {
	cloud, err := entra.CloudNamed(string(e.Cloud))
	return cloud.Scope, err
}
