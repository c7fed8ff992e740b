-- What the tenant's logs say about our guests (for a while), what has to be looked at, and the conditional access that is ours.

CREATE TABLE activity (
    log    TEXT    NOT NULL CHECK (log IN ('signin', 'audit')),
    id     TEXT    NOT NULL CHECK (id <> ''),                        -- the entry's, in Entra
    person TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    entry  TEXT    NOT NULL,
    PRIMARY KEY (log, id, person)                                    -- an entry that comes again is the same row
) STRICT, WITHOUT ROWID;

CREATE INDEX activity_at ON activity (log, at);
CREATE INDEX activity_person ON activity (person, at);

-- How far each log was read. Nothing at or before the floor is read again, since its rows may be gone.
CREATE TABLE activity_marks (
    log     TEXT    PRIMARY KEY CHECK (log IN ('signin', 'audit')),
    through INTEGER NOT NULL,
    floor   INTEGER,
    swept   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE alarms (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    key          TEXT    NOT NULL CHECK (key <> ''),
    kind         TEXT    NOT NULL,
    severity     TEXT    NOT NULL CHECK (severity IN ('critical', 'warning', 'notice')),
    person       TEXT    NOT NULL,                                   -- '': about nobody
    raised       INTEGER NOT NULL,
    acknowledged INTEGER,
    by           TEXT    NOT NULL DEFAULT '',
    note         TEXT    NOT NULL DEFAULT '',
    alarm        TEXT    NOT NULL,
    CHECK (acknowledged IS NULL OR by <> '')
) STRICT;

-- One open alarm for each key: what happens again is counted there.
CREATE UNIQUE INDEX alarms_open ON alarms (key) WHERE acknowledged IS NULL;
CREATE INDEX alarms_key ON alarms (key);
CREATE INDEX alarms_person ON alarms (person) WHERE person <> '';
CREATE INDEX alarms_raised ON alarms (raised);

CREATE TABLE alarm_deliveries (
    alarm TEXT    NOT NULL REFERENCES alarms (id) ON DELETE CASCADE,
    sink  TEXT    NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (alarm, sink)
) STRICT, WITHOUT ROWID;

CREATE INDEX persons_pending ON persons (invited_at) WHERE guest_state = 'PendingAcceptance' AND phase = 'open';
CREATE INDEX persons_closed ON persons (closed_at) WHERE phase = 'closed' AND closed_at IS NOT NULL;

-- Policies and named locations that are ours in the tenant.
CREATE TABLE conditional_access (
    kind    TEXT    NOT NULL CHECK (kind IN ('policy', 'location')),
    name    TEXT    NOT NULL CHECK (name <> ''),
    id      TEXT    NOT NULL,                                        -- '': its making was announced and not yet seen
    mine    INTEGER NOT NULL CHECK (mine IN (0, 1)),
    written TEXT,
    watched INTEGER,
    changed INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
