package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
	"scimbridge/internal/strictyaml"
)

// wokenSetting keeps the revision for which everybody was made due: a process that dies on the way has woken some.
const wokenSetting = "mapping:woken"

// activate puts a mapping into force and makes everybody due, so that an edit reaches all.
func (d *daemon) activate(ctx context.Context, m *mapper.Mapping, actor audit.Actor) error {
	last, err := d.lastRevision(ctx)
	if err != nil {
		return err
	}
	if last.Hash != "" && last.Hash != m.Revision() {
		before, _ := mapper.Parse("the mapping in force", []byte(last.Text)) // one that cannot be read any more guards nothing
		held, err := holdRemovals(ctx, d.store, before, m)
		if err != nil {
			return err
		}
		if held > 0 {
			d.log.Warn("the mapping takes access from more people than the guard allows; it waits for scimbridge hold approve or hold cancel", "held", held, "revision", m.Revision()[:12])
		}
	}
	revision, err := d.store.AddRevision(ctx, actor, string(m.Source()), "loaded from "+d.config.Mapping)
	if err != nil {
		return err
	}
	d.useRevision(m, revision)
	if d.role() == roleStandby {
		return nil // the leader follows, and makes everybody due then
	}
	return d.wakeFor(ctx, revision.Hash)
}

// wakeFor makes everybody due for the mapping in force, unless that was done.
func (d *daemon) wakeFor(ctx context.Context, revision string) error {
	woken, err := d.store.Setting(ctx, wokenSetting)
	if err != nil || string(woken) == revision {
		return err
	}
	select {
	case d.derive <- struct{}{}:
	default:
	}
	if _, err := d.store.WakeAll(ctx, time.Now(), 0); err != nil {
		return err
	}
	return d.store.SetSetting(ctx, wokenSetting, []byte(revision))
}

// lastRevision is the mapping in force, or that ran last; zero if there never was one.
func (d *daemon) lastRevision(ctx context.Context) (contractor.MappingRevision, error) {
	last, err := d.store.Revision(ctx, "")
	if ce, ok := errors.AsType[*contractor.Error](err); ok && ce.Code == contractor.CodeNotFound {
		return contractor.MappingRevision{}, nil
	}
	return last, err
}

// firstMapping puts the mapping file into force at the start. One with mistakes never replaces a good one, not even by a restart:
// then the one that ran last goes on, and it is told as a refused reload is. Where none ever ran the start is refused.
func (d *daemon) firstMapping(ctx context.Context) (*mapper.Mapping, error) {
	actor := audit.Actor{Kind: audit.ActorAdmin, Name: "serve"}
	m, warnings, refusal := readMapping(d.config.Mapping)
	if refusal != nil {
		last, err := d.lastRevision(ctx)
		if err != nil {
			return nil, err
		}
		if last.Hash == "" {
			return nil, setupError(refusal)
		}
		var problems error
		var old *mapper.Mapping
		if parsed, p := mapper.Parse("the mapping that ran last", []byte(last.Text)); parsed == nil {
			problems = p.Err()
		} else {
			old = parsed
		}
		if old == nil {
			return nil, setupError(fmt.Errorf("%w\nnor can the mapping that ran last be read: %w", refusal, problems))
		}
		if err := d.activate(ctx, old, actor); err != nil {
			return nil, err
		}
		return old, d.refuse(ctx, actor, refusal)
	}
	d.warn(m, warnings)
	if d.config.OnPostgres() {
		if newer, err := d.overtaken(ctx, m); err != nil || newer != nil {
			return newer, err
		}
	}
	return m, d.activate(ctx, m, actor)
}

// reload reads the mapping again. Everything that can fail comes first; a bad file leaves the old one in force, and that is told in
// the log, the journal, the metrics and the status, with its lines.
func (d *daemon) reload(ctx context.Context, who string) (revision string, err error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.keys != nil {
		if err := d.keys.refresh(); err != nil {
			d.log.Error("the renewed certificate is not in use; the old one stays in use", "error", err)
		}
	}
	actor := audit.Actor{Kind: audit.ActorAdmin, Name: who}
	m, warnings, err := readMapping(d.config.Mapping)
	if err != nil {
		return "", errors.Join(fmt.Errorf("%w\nthe mapping in force (%s) stays in force", err, d.loaded.Load().Revision[:12]), d.refuse(ctx, actor, err))
	}
	d.warn(m, warnings)
	if err := d.activate(ctx, m, actor); err != nil {
		d.metrics.reloads.WithLabelValues("failed").Inc()
		d.log.Error("the mapping was not put into force", "error", err, "by", who)
		return "", err
	}
	d.metrics.reloads.WithLabelValues("loaded").Inc()
	d.loop.Wake()
	d.log.Info("mapping reloaded", "revision", m.Revision()[:12], "by", who)
	return m.Revision(), nil
}

// warn tells what is allowed in the mapping and cannot be meant, alone and beside the configuration.
func (d *daemon) warn(m *mapper.Mapping, warnings strictyaml.Problems) {
	for _, w := range append(warnings, together(d.config, m)...) {
		d.log.Warn("mapping", "problem", w.String())
	}
}

// maxRefused bounds how many mistakes of a refused file are logged and journaled; validate tells all.
const maxRefused = 20

// refuse tells that the file on disk is not the one in force.
func (d *daemon) refuse(ctx context.Context, actor audit.Actor, refusal error) error {
	st := *d.loaded.Load()
	st.Refused, st.RefusedAt = refusal.Error(), time.Now().UTC().Truncate(time.Microsecond)
	d.loaded.Store(&st)
	d.metrics.reloads.WithLabelValues("refused").Inc()
	lines := strings.Split(st.Refused, "\n")
	for i, line := range lines {
		if i == maxRefused {
			d.log.Error("the mapping file has more mistakes; scimbridge validate tells all", "mistakes", len(lines))
			break
		}
		d.log.Error("the mapping file was refused; the one in force stays in force", "problem", line, "inForce", st.Revision[:12], "by", actor.Name)
	}
	detail, err := json.Marshal(map[string]any{"file": st.File, "mistakes": lines[:min(len(lines), maxRefused)], "count": len(lines)})
	if err != nil {
		return err
	}
	return d.store.AppendEvents(ctx, audit.Event{
		Kind: "mapping.refused", Actor: actor, Outcome: audit.Failed, Revision: st.Revision, Detail: detail,
		Reason: lines[0] + "; the mapping in force stays in force",
	})
}

// refusedTrouble is how the status tells of a refused file: the first mistakes with their lines.
func refusedTrouble(refused string) string {
	lines := strings.Split(refused, "\n")
	told := strings.Join(lines[:min(len(lines), 3)], "; ")
	if len(lines) > 3 {
		told += fmt.Sprintf("; and %d more", len(lines)-3)
	}
	return "the mapping file on disk has mistakes and is not in force: " + told + "; mend it (scimbridge validate) and run scimbridge reload"
}
