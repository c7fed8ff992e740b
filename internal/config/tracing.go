package config

import (
	"fmt"
	"net/textproto"
	"strings"
)

// Tracing sends traces to an OpenTelemetry collector, by OTLP over HTTP.
type Tracing struct {
	// Endpoint is the collector's address for traces, whole, such as https://otel.contoso.example:4318/v1/traces. Plain http on
	// loopback only. Required.
	Endpoint string `yaml:"endpoint"`

	// HeadersFile holds what the collector wants besides, such as a key: one "Name: value" a line. Optional.
	HeadersFile CredentialFile `yaml:"headers_file"`

	// Sample is the share of traces that are sent, from 0 to 1. Default 1.
	Sample *float64 `yaml:"sample"`

	// Attributes are added to what the daemon says of itself, such as deployment.environment.name: production. Optional.
	Attributes map[string]string `yaml:"attributes"`
}

// Ratio is Sample with its default.
func (t *Tracing) Ratio() float64 {
	if t.Sample == nil {
		return 1
	}
	return *t.Sample
}

// Headers reads HeadersFile; nil where none is named.
func (t *Tracing) Headers() (map[string]string, error) {
	if t.HeadersFile.IsZero() {
		return nil, nil
	}
	secret, err := t.HeadersFile.Read()
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	for i, line := range strings.Split(secret.Reveal(), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" || strings.ContainsAny(name, " \t\"") {
			return nil, fmt.Errorf("line %d of %s is no header; write it as Name: value", i+1, t.HeadersFile.Path())
		}
		headers[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return headers, nil
}

func (v *validator) tracing(t *Tracing) {
	if !v.given("tracing", "endpoint") {
		v.missing(at("tracing"), "tracing needs endpoint, such as http://127.0.0.1:4318/v1/traces")
	} else {
		v.url(at("tracing", "endpoint"), t.Endpoint, "spans name vendors and people's ids")
	}
	if s := t.Ratio(); !(s >= 0 && s <= 1) {
		v.add(at("tracing", "sample"), "%v is out of range; write from 0 (none) to 1 (all)", s)
	}
	for name, value := range t.Attributes {
		if strings.TrimSpace(name) == "" || strings.TrimSpace(value) == "" {
			v.add(at("tracing", "attributes", name), "an attribute has a name and a value; write deployment.environment.name: production")
		}
	}
}
