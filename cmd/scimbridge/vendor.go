package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/scim"
)

func newVendor(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vendor",
		Short: "Vendors' credentials: add, rotate, pause",
		Long: `Vendors' credentials. The vendor itself (its domains, quota, dates) is a section of the mapping file; here it gets
its bearer tokens. Only hashes are stored: a token is shown once, when it is made. These commands write to the database
directly and work with the daemon running or stopped.`,
	}
	cmd.AddCommand(vendorAdd(io), vendorRotate(io), vendorList(io), vendorRevoke(io), vendorPause(io, true), vendorPause(io, false))
	return cmd
}

// admin is the person at the command line, for the journal.
func admin() audit.Actor {
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" {
		name = by + " (sudo)"
	}
	return audit.Actor{Kind: audit.ActorAdmin, Name: name}
}

// withStore opens the database beside the daemon, for one command.
func withStore(ctx context.Context, cfg *config.Config, do func(*db.Store) error) (err error) {
	_, statErr := os.Stat(cfg.Database)
	conf, err := databaseConfig(cfg)
	if err != nil {
		return err
	}
	store, err := db.Open(ctx, conf)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := store.Close(); err == nil {
			err = cerr
		}
	}()
	if errors.Is(statErr, fs.ErrNotExist) && !cfg.OnPostgres() {
		if err := giveToFolder(cfg.Database); err != nil {
			return err
		}
	}
	return do(store)
}

// giveToFolder hands a database that root has just made to the owner of its folder: root's first vendor add, or a restore,
// must not leave a file that the daemon's user cannot write.
func giveToFolder(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Chown(path+suffix, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the new database cannot be given to the owner of its folder; chown it yourself: %w", err)
		}
	}
	return nil
}

// knownVendor refuses a name that the mapping does not have, before anything is written.
func knownVendor(cfg *config.Config, name string) (*contractor.Vendor, error) {
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return nil, setupError(err)
	}
	v, ok := m.Vendor(name)
	if !ok {
		return nil, fmt.Errorf("vendor %q is not in %s, which has: %s; add a section vendors.%s there first", name, cfg.Mapping, strings.Join(m.Vendors(), ", "), name)
	}
	return v, nil
}

func vendorAdd(io streams) *cobra.Command {
	return tokenCommand(io, "add NAME", "Make a vendor's bearer token and print it once", "token made with vendor add")
}

func vendorRotate(io streams) *cobra.Command {
	return tokenCommand(io, "rotate NAME", "Make a second token; revoke the old one when the vendor has moved over", "token made with vendor rotate")
}

func tokenCommand(io streams, use, short, reason string) *cobra.Command {
	var file string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			if _, err := knownVendor(cfg, args[0]); err != nil {
				return err
			}
			token := scim.NewToken()
			row := contractor.Token{Vendor: args[0], Hash: scim.HashToken(token)}
			if expires > 0 {
				row.Expires = time.Now().Add(expires)
			}
			err = withStore(cmd.Context(), cfg, func(s *db.Store) error {
				row, err = s.AddToken(cmd.Context(), admin(), row, reason)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(io.err, "token %s for vendor %s; it is not shown again\n", row.ID, args[0])
			_, err = fmt.Fprintln(io.out, token)
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long the token lives, such as 8760h; 0: until it is revoked")
	return cmd
}

func vendorList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List vendors and their tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				vendors, err := s.ListVendors(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, vendors)
				}
				w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "VENDOR\tSTATE\tLIVE\tTOKEN\tCREATED\tEXPIRES\tLAST USED")
				for _, v := range vendors {
					state := "active"
					if v.Paused {
						state = "paused"
					}
					if len(v.Tokens) == 0 {
						fmt.Fprintf(w, "%s\t%s\t%d\t-\t\t\t\n", v.Name, state, v.Live)
					}
					for _, t := range v.Tokens {
						fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", v.Name, state, v.Live, t.ID, day(t.Created), orWord(t.Expires, "never"), orWord(t.LastUsed, "never"))
					}
				}
				if err := w.Flush(); err != nil {
					return err
				}
				pulls, err := s.PullStates(cmd.Context())
				printPullStates(io.out, pulls)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func vendorRevoke(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "End a token now", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				return s.RevokeToken(cmd.Context(), admin(), args[0], reason)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&reason, "reason", "revoked at the command line", "why, for the journal")
	return cmd
}

func vendorPause(io streams, pause bool) *cobra.Command {
	var file, reason string
	use, short := "resume NAME", "Let a paused vendor write again"
	if pause {
		use, short = "pause NAME", "Refuse a vendor's writes until it is resumed; what it sent stays in force"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				err := s.PauseVendor(cmd.Context(), admin(), args[0], pause, reason)
				if ce, is := errors.AsType[*contractor.Error](err); !is || ce.Code != contractor.CodeNotFound {
					return err
				}
				if _, err := knownVendor(cfg, args[0]); err != nil { // one that has no token may sign in by other means
					return err
				}
				if err := s.AddVendor(cmd.Context(), args[0]); err != nil {
					return err
				}
				return s.PauseVendor(cmd.Context(), admin(), args[0], pause, reason)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal (required)")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func orWord(t time.Time, word string) string {
	if t.IsZero() {
		return word
	}
	return day(t)
}
