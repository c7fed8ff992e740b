package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// mappingEvery is how often a node asks which mapping is in force.
const mappingEvery = time.Second

// followMapping takes over the mapping that another node put into force, until ctx ends.
func (d *daemon) followMapping(ctx context.Context) error {
	for failed := false; waited(ctx, mappingEvery, d.election.look); {
		err := d.follow(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			d.log.Error("the mapping in force could not be asked for; trying again every second", "error", err)
		}
		failed = err != nil
	}
	return nil
}

// follow takes over the mapping in force, if it is another one than this node's. The leader then makes everybody due: only once its
// passes use the new one, or they would use up the wake with the old one.
func (d *daemon) follow(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	hash, err := d.store.RevisionHash(ctx)
	if err != nil {
		return err
	}
	st := *d.loaded.Load()
	if hash != st.Revision && hash != st.Unreadable {
		if err := d.takeOver(ctx, hash); err != nil {
			return err
		}
	}
	if d.role() == roleLeader {
		return d.wakeFor(ctx, d.loaded.Load().Revision)
	}
	return nil
}

// takeOver reads a mapping from the database and puts it into force here.
func (d *daemon) takeOver(ctx context.Context, hash string) error {
	r, err := d.store.Revision(ctx, hash)
	if err != nil {
		return err
	}
	m, problems := mapper.Parse("the mapping of another node", []byte(r.Text))
	if m == nil { // a newer node's, with what this release does not know
		if err := d.refuse(ctx, audit.Actor{Kind: audit.ActorAdmin, Name: r.Who}, problems.Err()); err != nil {
			return err
		}
		st := *d.loaded.Load()
		st.Unreadable = hash
		d.loaded.Store(&st)
		return nil
	}
	d.useRevision(m, r)
	d.log.Info("another node's mapping is in force", "revision", hash[:12], "by", r.Who)
	return nil
}

// useRevision makes a mapping this node's.
func (d *daemon) useRevision(m *mapper.Mapping, r contractor.MappingRevision) {
	d.mapping.set(m)
	d.loaded.Store(&mappingStatus{File: d.config.Mapping, Revision: r.Hash, Loaded: r.Loaded.UTC()})
}

// overtaken reads the mapping in force where this node's file is one that was replaced: a node that starts late, with an older file,
// does not take the others back. A file that never was in force is an edit, and a start puts it into force as a reload does.
func (d *daemon) overtaken(ctx context.Context, m *mapper.Mapping) (old *mapper.Mapping, err error) {
	last, err := d.lastRevision(ctx)
	if err != nil || last.Hash == "" || last.Hash == m.Revision() {
		return nil, err
	}
	if _, err := d.store.Revision(ctx, m.Revision()); err != nil {
		if ce, ok := errors.AsType[*contractor.Error](err); ok && ce.Code == contractor.CodeNotFound {
			return nil, nil
		}
		return nil, err
	}
	newer, _ := mapper.Parse("the mapping in force", []byte(last.Text))
	if newer == nil {
		return nil, fmt.Errorf("the mapping in force (%s) cannot be read by this release; put one into force that can, with scimbridge reload on another node", last.Hash[:12])
	}
	d.useRevision(newer, last)
	return newer, nil
}

// staleNote says that this node's file is not the mapping in force; "" if it is, or cannot be read, which is told elsewhere.
func (d *daemon) staleNote(st *mappingStatus) string {
	if !d.config.OnPostgres() || st.Refused != "" {
		return ""
	}
	b, err := os.ReadFile(d.config.Mapping)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	if hash := hex.EncodeToString(sum[:]); hash != st.Revision {
		return fmt.Sprintf("the mapping file of this node (%.12s) is not the one in force (%.12s); copy that one here, or put this one into force on all nodes with scimbridge reload", hash, st.Revision)
	}
	return ""
}
