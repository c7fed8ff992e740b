package intake_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/intake"
	"scimbridge/internal/scim"
)

// nowhere is a dry feed and a store that keep nothing.
type nowhere struct{ intake.ImportStore }

func (nowhere) Put(_ context.Context, r contractor.FeedRecord) (contractor.FeedResult, error) {
	if _, err := scim.Normalise(&contractor.Vendor{Name: "acme", Zone: time.UTC, EmailDomains: []string{"acme.example"}}, r.Body); err != nil {
		return contractor.FeedResult{}, err
	}
	return contractor.FeedResult{Outcome: contractor.FeedCreated}, nil
}

func (nowhere) End(context.Context, contractor.FeedEnd) (contractor.FeedResult, error) {
	return contractor.FeedResult{Outcome: contractor.FeedEnded}, nil
}
func (nowhere) Known(context.Context, func(string) error) error { return nil }

// FuzzCSV holds that any file is either refused whole, or every one of its records is counted once.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"Worker ID,E-mail\nW-1,a@acme.example\n", "\xef\xbb\xbfWorker ID;E-mail;Status\r\nW-1;a@acme.example;Active\r\n;;\r\n",
		"\"Worker ID\",\"E-mail\"\n\"W\n1\",\"a\"\"b@acme.example\"\n", "Worker ID\tE-mail\nx\"y\tz\n\"", "\xff\xfeW\x00", "email\nW\xfc\n", "|\n|\n", "email,email\n",
	} {
		f.Add([]byte(seed))
	}
	name := filepath.Join(f.TempDir(), "fuzz.csv")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := intake.NewImporter(intake.ImportConfig{
			Feed: nowhere{}, Store: nowhere{}, Vendor: &contractor.Vendor{Name: "acme"}, Actor: root(), Fields: scim.FieldNames(), Path: scim.FieldPath, Dry: true, Workers: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Import(t.Context(), name)
		if err != nil {
			return
		}
		if c := r.Counts; c.Read != c.Created+c.Refused || c.Refused != len(r.Problems) && c.Refused < 1000 {
			t.Errorf("%+v with %d problems", c, len(r.Problems))
		}
		for _, p := range r.Problems {
			if p.Line < 1 || p.Column < 0 || p.Message == "" {
				t.Errorf("a problem says %+v", p)
			}
		}
	})
}
