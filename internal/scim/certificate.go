package scim

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// certificateFits reports whether a verified client certificate is the one that a setting names.
func certificateFits(leaf *x509.Certificate, setting string) bool {
	kind, name, _ := strings.Cut(setting, ":")
	switch kind {
	case "dns":
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
	case "uri":
		for _, u := range leaf.URIs {
			if u.String() == name {
				return true
			}
		}
		return false
	case "email":
		return slices.Contains(leaf.EmailAddresses, name)
	}
	want, err := parseSubject(setting)
	if err != nil {
		return false
	}
	var has pkix.RDNSequence
	if rest, err := asn1.Unmarshal(leaf.RawSubject, &has); err != nil || len(rest) > 0 {
		return false
	}
	var parts []string
	for _, rdn := range has {
		var of []string
		for _, a := range rdn {
			s, ok := a.Value.(string)
			if !ok {
				return false
			}
			of = append(of, a.Type.String()+"="+s)
		}
		slices.Sort(of)
		parts = append(parts, strings.Join(of, "+"))
	}
	// RFC 4514 writes the last part first; openssl x509 -subject prints them as they stand.
	if slices.Equal(parts, want) {
		return true
	}
	slices.Reverse(parts)
	return slices.Equal(parts, want)
}

// checkCertificate says what is wrong with a setting that names a certificate, and gives it in a form that can be compared.
func checkCertificate(setting string) (canonical string, err error) {
	kind, name, _ := strings.Cut(setting, ":")
	switch kind {
	case "dns", "uri", "email":
		if name == "" || strings.ContainsAny(name, " *") {
			return "", fmt.Errorf("%q is not a name that a certificate can have; write it whole, such as dns:scim.acme.example", setting)
		}
		if kind == "dns" {
			setting = strings.ToLower(setting)
		}
		return setting, nil
	}
	parts, err := parseSubject(setting)
	if err != nil {
		return "", fmt.Errorf("%q is not a subject: %w; write CN=scim,O=Acme, or dns:, uri: or email: with a name", setting, err)
	}
	turned := slices.Clone(parts)
	slices.Reverse(turned)
	return strings.Join(slices.MinFunc([][]string{parts, turned}, slices.Compare), ","), nil
}

// attributeTypes are the names of RFC 4514 section 3, and those that openssl and CAs use besides.
func attributeTypes() map[string]string {
	return map[string]string{
		"CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "S": "2.5.4.8", "STREET": "2.5.4.9",
		"O": "2.5.4.10", "OU": "2.5.4.11", "GN": "2.5.4.42", "ORGANIZATIONIDENTIFIER": "2.5.4.97", "EMAILADDRESS": "1.2.840.113549.1.9.1", "E": "1.2.840.113549.1.9.1",
		"DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	}
}

// parseSubject reads a distinguished name as RFC 4514 writes it, with blanks around its signs as openssl prints them: its parts,
// each with the types' numbers.
func parseSubject(s string) ([]string, error) {
	var parts, of []string
	types := attributeTypes()
	for rest := s; ; {
		name, tail, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, errors.New("each part is TYPE=value")
		}
		name = strings.TrimSpace(name)
		oid, known := types[strings.ToUpper(name)]
		if !known {
			if oid = strings.TrimPrefix(name, "OID."); oid == "" || strings.Trim(oid, "0123456789.") != "" {
				return nil, fmt.Errorf("there is no attribute type %.20q", name)
			}
		}
		v, end, err := subjectValue(tail)
		if err != nil {
			return nil, err
		}
		of = append(of, oid+"="+v)
		if end == len(tail) || tail[end] == ',' {
			slices.Sort(of)
			parts, of = append(parts, strings.Join(of, "+")), nil
		}
		if end == len(tail) {
			return parts, nil
		}
		rest = tail[end+1:]
	}
}

// subjectValue reads an attribute's value up to the next "," or "+". openssl puts one that has such a sign into quotes.
func subjectValue(s string) (v string, end int, err error) {
	if rest := strings.TrimLeft(s, " "); strings.HasPrefix(rest, `"`) {
		inner, after, closed := strings.Cut(rest[1:], `"`)
		after = strings.TrimLeft(after, " ")
		if !closed || inner == "" || strings.Contains(inner, `\`) || after != "" && after[0] != ',' && after[0] != '+' {
			return "", 0, errors.New("the quotes are not closed, empty, or more than a value stands in them; write the value without quotes and a \\ before each sign")
		}
		return inner, len(s) - len(after), nil
	}
	var b strings.Builder
	kept := 0 // length up to the last character that is no trailing blank
	i := 0
	for ; i < len(s) && s[i] != ',' && s[i] != '+'; i++ {
		c := s[i]
		switch {
		case c == '"' || c == ';' || c == '<' || c == '>' || c == '#' && b.Len() == 0:
			return "", 0, fmt.Errorf("write %q as \\%c", string(c), c)
		case c == ' ' && b.Len() == 0:
			continue
		case c == '\\' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			raw, _ := hex.DecodeString(s[i+1 : i+3])
			b.Write(raw)
			i += 2
			kept = b.Len()
			continue
		case c == '\\':
			if i++; i == len(s) {
				return "", 0, errors.New("nothing follows the last backslash")
			}
			c = s[i]
			b.WriteByte(c)
			kept = b.Len()
			continue
		}
		b.WriteByte(c)
		if c != ' ' {
			kept = b.Len()
		}
	}
	if kept == 0 {
		return "", 0, errors.New("a part has no value")
	}
	return b.String()[:kept], i, nil
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
