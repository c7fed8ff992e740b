package config

import (
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Watch is how the tenant's sign-in and audit logs are watched for what concerns our guests. It needs the permission
// AuditLog.Read.All and, for sign-ins, a P1 licence.
type Watch struct {
	Every         time.Duration `yaml:"every"`          // between passes, from 1m to 24h. Default 10m
	Keep          time.Duration `yaml:"keep"`           // entries older than this are deleted, from 24h to 87600h. Default 2160h
	KeepRows      int           `yaml:"keep_rows"`      // and the oldest beyond this many of each log, from 1000. Default 200000
	Retention     time.Duration `yaml:"retention"`      // how long the tenant keeps its logs, from 24h to 2160h. Default 720h; 168h without P1
	NeverAccepted time.Duration `yaml:"never_accepted"` // after an invitation, from 24h. Default 336h
	TrustedApps   []string      `yaml:"trusted_apps"`   // application ids whose changes to our guests raise no alarm
	MailTo        []string      `yaml:"mail_to"`        // addresses that every alarm is mailed to, at most 20; needs notify, which says how mails are sent
}

const day = 24 * time.Hour

// watch checks the section; zero takes the default.
func (v *validator) watch(w *Watch) {
	for _, d := range []struct {
		key       string
		value     time.Duration
		low, high time.Duration
	}{
		{"every", w.Every, time.Minute, day}, {"keep", w.Keep, day, 3650 * day}, {"retention", w.Retention, day, 90 * day}, {"never_accepted", w.NeverAccepted, day, 3650 * day},
	} {
		if d.value != 0 && (d.value < d.low || d.value > d.high) {
			v.add(at("watch", d.key), "%v is out of range; write from %v to %v", d.value, d.low, d.high)
		}
	}
	if w.KeepRows != 0 && w.KeepRows < 1000 {
		v.add(at("watch", "keep_rows"), "%d is too few; write 1000 or more", w.KeepRows)
	}
}

// mailTo checks whom alarms are mailed to.
func (v *validator) mailTo(c *Config) {
	w := c.Watch
	if len(w.MailTo) > 0 && c.Notify == nil {
		v.add(at("watch", "mail_to"), "mails need notify:, which says how they are sent; add it, or have alarms delivered by audit.export with kinds: [alarm.]")
	}
	if len(w.MailTo) > 20 {
		v.add(at("watch", "mail_to"), "%d addresses are too many; write at most 20, or the address of a list", len(w.MailTo))
	}
	for i, to := range w.MailTo {
		if a, err := mail.ParseAddress(to); err != nil || a.Address != to {
			v.add(at("watch", "mail_to", i), "%q is not a mail address; write secops@corp.example", to)
		}
	}
}

// audit checks the section with the words of the room that ships the journal.
func (v *validator) audit(c *Config) {
	for _, p := range c.Audit.Check() {
		v.add(append(at("audit"), elements(p.Key)...), "%s", p.Message)
	}
}

// elements turns export[1].webhook.url into a path of the document.
func elements(key string) []any {
	var path []any
	for part := range strings.SplitSeq(key, ".") {
		m := regexp.MustCompile(`^([^\[]+)(?:\[(\d+)\])?$`).FindStringSubmatch(part)
		if m == nil {
			return path
		}
		path = append(path, m[1])
		if m[2] != "" {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return path
			}
			path = append(path, n)
		}
	}
	return path
}
