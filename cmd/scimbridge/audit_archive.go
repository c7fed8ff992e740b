package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

type verifier = note.Verifier

func auditArchive(io streams) *cobra.Command {
	var file, output, personal, reason string
	var before whenFlag
	cmd := &cobra.Command{
		Use: "archive --before DAY -o FILE --reason TEXT", Short: "Write old events to a sealed file", Args: cobra.NoArgs,
		Long: `Write the events before a day, as far as no archive has them, to a sealed file: a JSON line each, between a head and a proof that
check-proof checks with nothing but the public key. A name that ends in .gz is compressed. The file is read back and checked before
the journal tells of it; the events stay in the journal until audit drop. Names and addresses are left out, so that the archive may
be kept for longer than they may; --personal writes them to a file of their own.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			if output == "" || output == "-" {
				return &codeError{exitUsage, errors.New("name the archive's file with -o")}
			}
			cut, err := before.read(time.Now())
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				a, err := makeArchive(cmd.Context(), cfg, s, cut, output, personal, reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(io.out, "events %d to %d are in %s (SHA-256 %s)\nThey are still in the journal. Once the file is safe: scimbridge audit drop %s --reason …\n", a.First, a.Last, output, a.SHA256, output)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	before.add(cmd, "before", "archive events before this time: 2026-01-01, or how long ago, 365d (required)")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the archive, a new file (required)")
	cmd.Flags().StringVar(&personal, "personal", "", "a new file for the events' names and addresses; without it, they go when the events are dropped")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal (required)")
	for _, f := range []string{"before", "output", "reason"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

// makeArchive writes, reads back, and only then records.
func makeArchive(ctx context.Context, cfg *config.Config, s *db.Store, before time.Time, path, personal, reason string) (a audit.ArchiveRecord, err error) {
	sealer, err := openSealer(ctx, cfg, s, admin())
	if err != nil {
		return a, err
	}
	err = intoFile(path, func(w io.Writer) error {
		a, err = s.WriteArchive(ctx, w, before, sealer)
		return err
	})
	if err != nil {
		return a, err
	}
	if a.File, err = filepath.Abs(path); err == nil {
		err = readBack(path, a, sealer)
	}
	if err == nil && personal != "" {
		err = intoFile(personal, func(w io.Writer) error { return s.WritePersonal(ctx, w, a.First, a.Last) })
	}
	if err == nil {
		a, err = s.RecordArchive(ctx, admin(), a, reason)
	}
	if err != nil {
		return a, errors.Join(err, os.Remove(path))
	}
	return a, nil
}

// intoFile fills a new file, compressed if its name says so.
func intoFile(path string, fill func(io.Writer) error) error {
	out, done, err := newFile(path, nil)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(path, ".gz") {
		return done(fill(out))
	}
	z := gzip.NewWriter(out)
	err = fill(z)
	if cerr := z.Close(); err == nil {
		err = cerr
	}
	return done(err)
}

// readBack checks that what is on the disk is what was written.
func readBack(path string, a audit.ArchiveRecord, sealer *audit.Sealer) error {
	v, err := sealer.Key.Verifier()
	if err != nil {
		return err
	}
	got, err := checkArchive(path, []verifier{v})
	if err != nil {
		return fmt.Errorf("the archive does not read back: %w", err)
	}
	sum, err := hashArchive(path)
	if err != nil {
		return err
	}
	if got.First != a.First || got.Last != a.Last || got.Hash != a.Hash || sum != a.SHA256 {
		return errors.New("the archive does not read back as it was written; check the disk")
	}
	return nil
}

// archiveReader reads an archive, compressed or not.
type archiveReader struct {
	io.Reader
	file *os.File
}

func (r *archiveReader) Close() error { return r.file.Close() }

func openArchive(path string) (*archiveReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(f)
	if magic, _ := r.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) { // an error shows again at the first read
		return &archiveReader{r, f}, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &archiveReader{z, f}, nil
}

func isArchive(path string) (bool, error) {
	r, err := openArchive(path)
	if err != nil {
		return false, err
	}
	begin := make([]byte, 100)
	n, err := io.ReadFull(r, begin)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return audit.IsArchive(begin[:n]), errors.Join(err, r.Close())
}

// hashArchive is the SHA-256 of what is in an archive, whether it is compressed or not.
func hashArchive(path string) (sum string, err error) {
	r, err := openArchive(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func auditDrop(io streams) *cobra.Command {
	var file, reason string
	var ignore []string
	cmd := &cobra.Command{
		Use: "drop FILE --reason TEXT", Short: "Take the events of an archive out of the journal", Args: cobra.ExactArgs(1),
		Long: `Take the events of an archive out of the journal. The archive is read and checked first, and it must be the one that the journal tells
of; the journal tells of the drop before the first event goes. The hashes of the events stay, so that verify goes on to prove the
whole. This is the one exception to a journal that only grows: the database's triggers refuse every other deletion.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				a, err := dropArchive(cmd.Context(), cfg, s, args[0], reason, ignore)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(io.out, "events %d to %d left the journal; keep %s: it is the only place that has them now\n", a.First, a.Last, args[0])
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal (required)")
	cmd.Flags().StringArrayVar(&ignore, "ignore-sink", nil, "drop though this sink of the SIEM export was not given the events; may be given again")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func dropArchive(ctx context.Context, cfg *config.Config, s *db.Store, path, reason string, ignore []string) (audit.ArchiveRecord, error) {
	var none audit.ArchiveRecord
	trusted, err := trustedKeys(ctx, nil, cfg, s)
	if err != nil {
		return none, err
	}
	a, err := checkArchive(path, trusted)
	if err != nil {
		return none, fmt.Errorf("the archive does NOT verify, and nothing was dropped: %w", err)
	}
	cursors, err := s.ExportCursors(ctx)
	if err != nil {
		return none, err
	}
	for _, name := range ignore {
		delete(cursors, name)
	}
	for sink, seq := range cursors {
		if seq < a.Last {
			return none, fmt.Errorf("the sink %s was given events up to %d only; wait until it has them, or use --ignore-sink %s if it is no more", sink, seq, sink)
		}
	}
	sum, err := hashArchive(path)
	if err != nil {
		return none, err
	}
	return s.DropArchived(ctx, admin(), sum, reason)
}

func auditErase(io streams) *cobra.Command {
	var file, reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "erase PERSON --reason TEXT", Short: "Erase what names a person (GDPR)", Args: cobra.ExactArgs(1),
		Long: `Erase for good what names a person: the names and addresses that the journal's events carried and, once the guest is gone and the
engagements are deleted, the records and the address. PERSON is an id, an address, a guest id or an engagement id. Events, dates and
hashes stay, and verify goes on to prove them; the journal tells who erased and why. Backups, and files that audit archive --personal
wrote, have their own copies.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				p, err := s.FindPerson(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				n, err := s.ErasePersonal(cmd.Context(), admin(), p.ID, reason)
				if err != nil {
					return err
				}
				after, err := s.Person(cmd.Context(), p.ID)
				if err != nil {
					return err
				}
				whole := after.Email == ""
				if asJSON {
					return printJSON(io.out, map[string]any{"person": p.ID, "events": n, "records": whole})
				}
				fmt.Fprintf(io.out, "person %s: %s lost their names and addresses\n", p.ID, count(int(n), "event"))
				if !whole {
					fmt.Fprintln(io.out, "The address and the records stay while the guest or an engagement does; erase again once they are gone.")
				}
				return nil
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}
