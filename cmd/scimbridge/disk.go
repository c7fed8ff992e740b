package main

import (
	"context"
	"errors"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"scimbridge/internal/contractor"
)

// watchDisk tells the log and systemd when the database stops taking writes, and when it takes them again. The database itself cannot be told.
func (d *daemon) watchDisk(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var refusing time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			since, why := d.store.Refusing(now)
			switch {
			case why != nil && refusing.IsZero():
				refusing = since
				d.log.Error("the database takes no writes; vendors are told to come back, and no step is begun in Entra", "error", why)
				_, _ = systemd.SdNotify(false, "STATUS=no write is taken: "+toldPeople(why))
			case why == nil && !refusing.IsZero():
				d.log.Info("the database takes writes again", "refused_for", now.Sub(refusing).Round(time.Second))
				_, _ = systemd.SdNotify(false, "STATUS=serving "+d.scimAddr.String())
				refusing = time.Time{}
				d.loop.Wake()
			}
		}
	}
}

// toldPeople is what an error says to people, without its cause.
func toldPeople(err error) string {
	if e, ok := errors.AsType[*contractor.Error](err); ok {
		return e.Message
	}
	return err.Error()
}
