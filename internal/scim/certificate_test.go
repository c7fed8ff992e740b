package scim

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strconv"
	"strings"
	"testing"
)

func TestSubjects(t *testing.T) {
	leaf := func(names ...pkix.AttributeTypeAndValue) *x509.Certificate {
		var rdns pkix.RDNSequence
		for _, n := range names {
			rdns = append(rdns, pkix.RelativeDistinguishedNameSET{n})
		}
		raw, err := asn1.Marshal(rdns)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{RawSubject: raw}
	}
	part := func(oid, v string) pkix.AttributeTypeAndValue {
		var id asn1.ObjectIdentifier
		for s := range strings.SplitSeq(oid, ".") {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			id = append(id, n)
		}
		return pkix.AttributeTypeAndValue{Type: id, Value: v}
	}
	c, o, cn, mail := part("2.5.4.6", "DE"), part("2.5.4.10", "Acme, Inc. + Sons"), part("2.5.4.3", "scim"), part("1.2.840.113549.1.9.1", "a@acme.example")
	for _, tc := range []struct {
		setting string
		leaf    *x509.Certificate
		want    bool
	}{
		{`CN=scim,O=Acme\, Inc. \+ Sons,C=DE`, leaf(c, o, cn), true},
		{`C = DE, O = Acme\, Inc. \+ Sons, CN = scim`, leaf(c, o, cn), true},
		{`C = DE, O = "Acme, Inc. + Sons", CN = scim`, leaf(c, o, cn), true},
		{`CN="scim",O="Acme, Inc. + Sons" , C=DE`, leaf(c, o, cn), true},
		{`CN="scim`, leaf(cn), false},
		{`CN="scim"x`, leaf(cn), false},
		{`CN="",O=x`, leaf(cn), false},
		{`cn=scim,o=Acme\2C Inc. \2B Sons,c=DE`, leaf(c, o, cn), true},
		{`emailAddress=a@acme.example,CN=scim`, leaf(cn, mail), true},
		{`1.2.840.113549.1.9.1=a@acme.example,2.5.4.3=scim`, leaf(cn, mail), true},
		{`CN=scim`, leaf(c, o, cn), false},
		{`CN=scim,C=DE`, leaf(c, o, cn), false},
		{`CN=SCIM`, leaf(cn), false},
		{`O=scim`, leaf(cn), false},
		{`CN=scim\ `, leaf(cn), false},
		{`CN=`, leaf(cn), false},
	} {
		if got := certificateFits(tc.leaf, tc.setting); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.setting, got, tc.want)
		}
	}
}
