package emulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t is a SHA-1 thumbprint by definition (RFC 7515, 4.1.7)
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"
)

// defaultFederatedAudience is what the public cloud expects in a federated token.
const defaultFederatedAudience = "api://AzureADTokenExchange"

// clockLeeway is how far the clock of whoever signed an assertion may be off.
const clockLeeway = 5 * time.Minute

type assertionHeader struct {
	Alg     string `json:"alg"`
	X5T     string `json:"x5t"`
	X5TS256 string `json:"x5t#S256"`
}

type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	Expires   int64           `json:"exp"`
	NotBefore int64           `json:"nbf"`
}

// verifyAssertion checks a JWT that stands for the application: signed with one of
// its certificates, or by an issuer that it trusts.
func (o *tokenOffice) verifyAssertion(jwt, endpoint string) error {
	signed, sigText, ok := cutLast(jwt, ".")
	headText, bodyText, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 {
		return errors.New("the assertion is not a JWT")
	}
	var head assertionHeader
	var claims assertionClaims
	if err := errors.Join(decodePart(headText, &head), decodePart(bodyText, &claims)); err != nil {
		return errors.New("the assertion is not a JWT")
	}
	sig, err := base64.RawURLEncoding.DecodeString(sigText)
	if err != nil {
		return errors.New("the signature is not base64url")
	}
	now := o.cfg.Now()
	if claims.Expires == 0 || now.After(time.Unix(claims.Expires, 0).Add(clockLeeway)) || now.Add(clockLeeway).Before(time.Unix(claims.NotBefore, 0)) {
		return errors.New("the assertion is not within its valid time range")
	}
	key, audience, err := o.assertionKey(head, claims)
	if err != nil {
		return err
	}
	if audience == "" {
		audience = endpoint
	}
	if !claims.hasAudience(audience) {
		return errors.New("the audience of the assertion is not " + audience)
	}
	return verifySignature(head.Alg, key, []byte(signed), sig)
}

// assertionKey finds who may have signed: the application itself (iss = sub = client
// id, certificate named by thumbprint) or a federated issuer.
func (o *tokenOffice) assertionKey(head assertionHeader, claims assertionClaims) (key any, audience string, err error) {
	if strings.EqualFold(claims.Issuer, o.cfg.ClientID) {
		if !strings.EqualFold(claims.Subject, o.cfg.ClientID) {
			return nil, "", errors.New("sub is not the client id")
		}
		for _, cert := range o.cfg.Certificates {
			if head.names(cert) {
				if o.cfg.Now().After(cert.NotAfter) {
					return nil, "", errors.New("the certificate has expired")
				}
				return cert.PublicKey, "", nil
			}
		}
		return nil, "", errors.New("the certificate with the thumbprint of the assertion is not registered on the application")
	}
	for _, f := range o.cfg.Federated {
		if f.Issuer == claims.Issuer && f.Subject == claims.Subject {
			return f.Key, or(f.Audience, defaultFederatedAudience), nil
		}
	}
	return nil, "", errors.New("no federated identity credential matches the issuer and subject of the assertion")
}

// names reports whether the header's thumbprint is the certificate's, in either
// alphabet of base64, since clients use both.
func (h assertionHeader) names(cert *x509.Certificate) bool {
	is := func(text string, sum []byte) bool {
		text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
		return text == base64.RawURLEncoding.EncodeToString(sum)
	}
	s1, s256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw) //nolint:gosec // see the import
	return h.X5TS256 != "" && is(h.X5TS256, s256[:]) || h.X5T != "" && is(h.X5T, s1[:])
}

func (c assertionClaims) hasAudience(want string) bool {
	var one string
	if json.Unmarshal(c.Audience, &one) == nil {
		return one == want
	}
	var many []string
	return json.Unmarshal(c.Audience, &many) == nil && slices.Contains(many, want)
}

func decodePart(text string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

func verifySignature(alg string, key any, signed, sig []byte) error {
	sum := sha256.Sum256(signed)
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch alg {
		case "PS256":
			return rsa.VerifyPSS(key, crypto.SHA256, sum[:], sig, nil)
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig)
		}
	case *ecdsa.PublicKey:
		if alg == "ES256" && len(sig) == 64 {
			if ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
				return nil
			}
			return errors.New("the signature is wrong")
		}
	}
	return errors.New("the signature algorithm " + alg + " does not fit the key")
}
