package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

func auditProve(io streams) *cobra.Command {
	var file, output, checkpoint, since string
	var keys []string
	var personal bool
	cmd := &cobra.Command{
		Use: "prove SEQ | prove --since CHECKPOINT", Short: "Write a proof that stands by itself", Args: cobra.MaximumNArgs(1),
		Long: `Write a proof file for somebody who has nothing but the public key: with SEQ, that this event is in the journal (C2SP tlog-proof:
event, path through the Merkle tree, checkpoint); with --since, that the journal of today is the one of an older checkpoint with
events added. It is checked with audit check-proof. --checkpoint proves against a checkpoint that the auditor already has.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (since != "") {
				return &codeError{exitUsage, errors.New("name an event, or --since with an older checkpoint")}
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				p := prover{cfg: cfg, store: s, checkpoint: checkpoint, keys: keys}
				var proof []byte
				if since != "" {
					proof, err = p.since(cmd.Context(), since)
				} else {
					proof, err = p.event(cmd.Context(), args[0], personal)
				}
				if err != nil {
					return err
				}
				out, done, err := newFile(output, io.out)
				if err != nil {
					return err
				}
				_, err = out.Write(proof)
				return done(err)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "", "a new file to write to, such as event-42.tlog-proof; without it, standard output")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "a file with the checkpoint to prove against; without it, a new one")
	cmd.Flags().StringVar(&since, "since", "", "a file with an older checkpoint: prove that the journal continues it")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "the public key that these checkpoints are signed with; without it, the machine's own")
	cmd.Flags().BoolVar(&personal, "personal", false, "show the event's names and addresses with the proof")
	return cmd
}

// prover makes proofs against a checkpoint.
type prover struct {
	cfg        *config.Config
	store      *db.Store
	checkpoint string
	keys       []string
}

// against is the checkpoint to prove against: the last one of the file given, or a new one.
func (p *prover) against(ctx context.Context) (audit.SignedCheckpoint, error) {
	if p.checkpoint != "" {
		return p.read(ctx, p.checkpoint)
	}
	sealer, err := openSealer(ctx, p.cfg, p.store, admin())
	if err != nil {
		return audit.SignedCheckpoint{}, err
	}
	return p.store.Seal(ctx, sealer)
}

func (p *prover) read(ctx context.Context, file string) (audit.SignedCheckpoint, error) {
	trusted, err := trustedKeys(ctx, p.keys, p.cfg, p.store)
	if err != nil {
		return audit.SignedCheckpoint{}, err
	}
	list, err := readCheckpoints([]string{file}, trusted)
	if err != nil {
		return audit.SignedCheckpoint{}, err
	}
	if len(list) == 0 {
		return audit.SignedCheckpoint{}, fmt.Errorf("%s holds no checkpoint", file)
	}
	return list[len(list)-1].SignedCheckpoint, nil
}

func (p *prover) event(ctx context.Context, arg string, personal bool) ([]byte, error) {
	seq, err := parseSeq(arg)
	if err != nil {
		return nil, err
	}
	c, err := p.against(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := p.store.ProveEvent(ctx, seq, c, personal)
	if err != nil {
		return nil, err
	}
	return proof.Marshal()
}

func (p *prover) since(ctx context.Context, file string) ([]byte, error) {
	before, err := p.read(ctx, file)
	if err != nil {
		return nil, err
	}
	now, err := p.against(ctx)
	if err != nil {
		return nil, err
	}
	return p.store.ProveConsistency(ctx, before, now)
}

func auditCheckProof(io streams) *cobra.Command {
	var keys []string
	var checkpoint string
	var asJSON, personal bool
	cmd := &cobra.Command{
		Use: "check-proof FILE --key KEY", Short: "Check a proof or an archive with nothing but the public key", Args: cobra.ExactArgs(1),
		Long: `Check a proof file of audit prove, or an archive of audit archive, with nothing but the public key: no database, no configuration, no
network. With --checkpoint the proof must be against a checkpoint of that file, which the auditor kept.

Exit codes: 0 it holds, 1 it does not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			trusted, err := verifiers(keys)
			if err != nil {
				return err
			}
			kept, err := readCheckpoints(list(checkpoint), trusted)
			if err != nil {
				return err
			}
			return checkProof(io.out, args[0], trusted, kept, asJSON, personal)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "the public key (audit key), or a file with it (required); may be given again")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "a file with checkpoints that were kept")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&personal, "personal", false, "show names and addresses, if the proof shows them")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// proofJSON is what check-proof --json prints.
type proofJSON struct {
	Holds   string          `json:"holds"` // event, consistency or archive
	Event   *audit.Exported `json:"event,omitempty"`
	First   int64           `json:"first,omitempty"`
	Last    int64           `json:"last,omitempty"`
	OldSize int64           `json:"oldSize,omitempty"`
	Origin  string          `json:"origin"`
	Size    int64           `json:"size"` // of the checkpoint
	Root    string          `json:"root"`
}

func checkProof(out io.Writer, file string, keys []verifier, kept []audit.KnownCheckpoint, asJSON, personal bool) error {
	result, err := readProof(file, keys, personal)
	if err != nil {
		return fmt.Errorf("%s does NOT hold: %w", file, err)
	}
	if len(kept) > 0 {
		found := false
		for _, k := range kept {
			found = found || k.Origin == result.Origin && k.Size == result.Size && k.Root.String() == result.Root
		}
		if !found {
			return fmt.Errorf("%s holds, but its checkpoint over %d events is none of those kept; have it proven against one of them: audit prove --checkpoint FILE", file, result.Size)
		}
	}
	if asJSON {
		return printJSON(out, result)
	}
	switch result.Holds {
	case "event":
		fmt.Fprintf(out, "HOLDS: event %d is in the journal %s, of which the checkpoint covers %s\n\n", result.Event.Seq, result.Origin, count(int(result.Size), "event"))
		return printEvent(out, &result.Event.Event, personal)
	case "archive":
		_, err = fmt.Fprintf(out, "HOLDS: the archive has events %d to %d of the journal %s, whole and unchanged\n", result.First, result.Last, result.Origin)
	default:
		_, err = fmt.Fprintf(out, "HOLDS: the journal %s with %d events is the one that had %d, with events added\n", result.Origin, result.Size, result.OldSize)
	}
	return err
}

func readProof(file string, keys []verifier, personal bool) (*proofJSON, error) {
	if archive, err := isArchive(file); err != nil {
		return nil, err
	} else if archive {
		a, err := checkArchive(file, keys)
		if err != nil {
			return nil, err
		}
		return &proofJSON{Holds: "archive", First: a.First, Last: a.Last, Origin: a.Origin, Size: a.Checkpoint.Size, Root: a.Checkpoint.Root.String()}, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > audit.MaxProof {
		return nil, fmt.Errorf("it has %d bytes; no proof is larger than %d", info.Size(), audit.MaxProof)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := audit.CheckProof(data, keys...)
	if err != nil {
		return nil, err
	}
	r := &proofJSON{Origin: p.New.Origin, Size: p.New.Size, Root: p.New.Root.String()}
	if p.Event == nil {
		r.Holds, r.OldSize = "consistency", p.Old.Size
		return r, nil
	}
	r.Holds = "event"
	leaf, err := json.Marshal(p.Event)
	if err != nil {
		return nil, err
	}
	p.Event.Hash = audit.HashLeaf(leaf)
	x := p.Event.Export(personal)
	r.Event = &x
	return r, nil
}
