-- What the records said before: for why somebody had something then.

-- Fields that came under names no schema declares: field -> path as sent, as JSON.
ALTER TABLE engagements ADD COLUMN aliased TEXT;

-- A row for each former state of an engagement, written as it is overwritten: in force from since, inclusive, to until. Bounded for
-- each engagement; erased with the person.
CREATE TABLE engagement_versions (
    seq        INTEGER PRIMARY KEY,
    engagement INTEGER NOT NULL REFERENCES engagements (seq),
    since      INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    person     TEXT,
    lost       INTEGER NOT NULL CHECK (lost IN (0, 1)), -- the next state is another person's
    deleted    INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    version    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    modified   INTEGER NOT NULL,
    end_set_at INTEGER,
    ended_at   INTEGER,
    prev_end   INTEGER,
    standing   TEXT    NOT NULL,
    record     TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    unused     TEXT,
    aliased    TEXT
) STRICT;

CREATE INDEX engagement_versions_engagement ON engagement_versions (engagement, until);
CREATE INDEX engagement_versions_lost ON engagement_versions (person) WHERE lost = 1;
