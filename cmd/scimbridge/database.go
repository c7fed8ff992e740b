package main

import (
	"context"
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

// databaseConfig says how the store is opened that the configuration names.
func databaseConfig(cfg *config.Config) (db.Config, error) {
	c := db.Config{Path: cfg.Database}
	switch {
	case !cfg.OnPostgres():
	case cfg.DatabaseAuth == config.DatabaseAuthEntra:
		password, err := entraPassword(cfg.Entra)
		if err != nil {
			return c, setupError(err)
		}
		c.Password = password
	case !cfg.DatabasePasswordFile.IsZero():
		// Read for each session: a password that was changed needs no restart.
		c.Password = func(context.Context) (string, error) {
			secret, err := cfg.DatabasePasswordFile.Read()
			return secret.Reveal(), err
		}
	}
	return c, nil
}

// ownerOf is the path whose owner owns what is made beside the database.
func ownerOf(cfg *config.Config) string {
	if cfg.OnPostgres() {
		return cfg.State
	}
	return cfg.Database
}

// entraPassword signs in to Azure Database for PostgreSQL: the password of a session is a token of the bridge's own credential. The
// credential keeps it until shortly before it expires, and a session lives on beyond that.
// https://learn.microsoft.com/azure/postgresql/flexible-server/security-entra-configure
func entraPassword(e config.Entra) (func(context.Context) (string, error), error) {
	credential, err := newCredential(e)
	if err != nil {
		return nil, err
	}
	scope := databaseScope(e.Cloud)
	return func(ctx context.Context) (string, error) {
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return "", err
		}
		if token.Token == "" {
			return "", errors.New("the token for the database is empty")
		}
		return token.Token, nil
	}, nil
}

// databaseScope is what a token for Azure Database for PostgreSQL is asked for, by cloud.
func databaseScope(cloud config.Cloud) string {
	switch cloud {
	case config.USGov, config.USGovDoD:
		return "https://ossrdbms-aad.database.usgovcloudapi.net/.default"
	case config.China:
		return "https://ossrdbms-aad.database.chinacloudapi.cn/.default"
	}
	return "https://ossrdbms-aad.database.windows.net/.default"
}
