-- What waits for a person, and what an admin decided against the records.

-- One row for each change of a vendor that the guard looked at. Admitted rows count in the guard's rolling window.
CREATE TABLE holds (
    id         INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('mass_end', 'date_move')),
    state      TEXT    NOT NULL CHECK (state IN ('admitted', 'open', 'approved', 'cancelled')),
    vendor     TEXT    NOT NULL,
    person     TEXT    NOT NULL,
    engagement TEXT    NOT NULL,
    set_at     INTEGER NOT NULL, -- of the vendor's change
    opened     INTEGER NOT NULL,
    expires    INTEGER,
    why        TEXT    NOT NULL,
    decided_by TEXT    NOT NULL DEFAULT '',
    decided    INTEGER,
    reason     TEXT    NOT NULL DEFAULT '',
    UNIQUE (engagement, kind, set_at),
    CHECK (state NOT IN ('approved', 'cancelled') OR decided IS NOT NULL AND decided_by <> '')
) STRICT;

CREATE INDEX holds_window ON holds (kind, opened) WHERE state = 'admitted';
CREATE INDEX holds_open ON holds (vendor, opened) WHERE state = 'open';
CREATE INDEX holds_person ON holds (person);

-- An admin's emergency stop: closed whatever records and rules say, until it is lifted.
CREATE TABLE blocks (
    person TEXT    PRIMARY KEY REFERENCES persons (id),
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;

-- An admin's later end. The vendor's next change of the end replaces it.
CREATE TABLE extensions (
    engagement TEXT    PRIMARY KEY REFERENCES engagements (id),
    until      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    by         TEXT    NOT NULL CHECK (by <> ''),
    reason     TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;
