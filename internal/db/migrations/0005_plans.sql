-- What an edit of the mapping takes away waits like a feed's sudden ends: one row for a person, a vendor and a revision.
CREATE TABLE holds_new (
    id         INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('mass_end', 'date_move', 'mapping')),
    state      TEXT    NOT NULL CHECK (state IN ('admitted', 'open', 'approved', 'cancelled')),
    vendor     TEXT    NOT NULL,
    person     TEXT    NOT NULL,
    engagement TEXT    NOT NULL,
    set_at     INTEGER NOT NULL, -- of the vendor's change; of a mapping's, when it was first met
    opened     INTEGER NOT NULL,
    expires    INTEGER,
    why        TEXT    NOT NULL,
    decided_by TEXT    NOT NULL DEFAULT '',
    decided    INTEGER,
    reason     TEXT    NOT NULL DEFAULT '',
    revision   TEXT    NOT NULL DEFAULT '', -- kind mapping: the file that takes it away
    loses      TEXT    NOT NULL DEFAULT '', -- kind mapping: what it takes, a line each
    UNIQUE (engagement, kind, set_at, revision),
    CHECK (state NOT IN ('approved', 'cancelled') OR decided IS NOT NULL AND decided_by <> ''),
    CHECK (kind <> 'mapping' OR revision <> '' AND loses <> '')
) STRICT;

INSERT INTO holds_new (id, kind, state, vendor, person, engagement, set_at, opened, expires, why, decided_by, decided, reason)
SELECT id, kind, state, vendor, person, engagement, set_at, opened, expires, why, decided_by, decided, reason FROM holds;

DROP TABLE holds;
ALTER TABLE holds_new RENAME TO holds;

CREATE INDEX holds_window ON holds (kind, opened) WHERE state = 'admitted';
CREATE INDEX holds_open ON holds (vendor, opened) WHERE state = 'open';
CREATE INDEX holds_person ON holds (person);

-- What scimbridge plan computed, until it is applied or too old. A plan without an id is being made.
CREATE TABLE plans (
    seq     INTEGER PRIMARY KEY,
    id      TEXT    UNIQUE,            -- hash of what it says
    made    INTEGER NOT NULL,
    made_by TEXT    NOT NULL,
    before  TEXT    NOT NULL,          -- revision in force; '' none
    after   TEXT    NOT NULL,          -- revision of text
    text    TEXT    NOT NULL,
    summary TEXT    NOT NULL DEFAULT '{}',
    applied INTEGER
) STRICT;

-- A person whom the plan changes: what was read (digest) and what changes (JSON).
CREATE TABLE plan_people (
    plan    INTEGER NOT NULL REFERENCES plans (seq) ON DELETE CASCADE,
    n       INTEGER NOT NULL,
    person  TEXT    NOT NULL,
    digest  TEXT    NOT NULL,
    loses   TEXT    NOT NULL,
    changes TEXT    NOT NULL,
    PRIMARY KEY (plan, n)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX plan_people_person ON plan_people (plan, person);
