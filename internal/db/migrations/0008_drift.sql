-- What somebody changed in Entra behind the bridge's back.
CREATE TABLE drift (
    id      INTEGER PRIMARY KEY,
    person  TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    kind    TEXT    NOT NULL CHECK (kind <> ''),
    object  TEXT    NOT NULL, -- '' where the guest itself is meant
    state   TEXT    NOT NULL CHECK (state IN ('suspected', 'open', 'adopted', 'repaired', 'disappeared')),
    mode    TEXT    NOT NULL CHECK (mode IN ('report', 'repair', 'adopt')),
    words   TEXT    NOT NULL,
    found   INTEGER NOT NULL,
    acted   INTEGER,                                           -- when the last repair was sent
    tries   INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),    -- repairs sent
    settled INTEGER,
    asked   INTEGER NOT NULL DEFAULT 0 CHECK (asked IN (0, 1)),
    CHECK ((state IN ('repaired', 'disappeared')) = (settled IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX drift_standing ON drift (person, kind, object) WHERE settled IS NULL;
CREATE INDEX drift_open ON drift (id) WHERE settled IS NULL;

-- Drift that an admin lets stand until an end.
CREATE TABLE drift_overrides (
    person TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    kind   TEXT    NOT NULL CHECK (kind <> ''),
    object TEXT    NOT NULL, -- Entra object id; '': every one of the kind
    until  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (person, kind, object)
) STRICT, WITHOUT ROWID;

-- When what costs reads of its own was last compared.
CREATE TABLE drift_looks (
    person TEXT    PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whom the record named when the sponsor was last chosen by it (hash). While it names the same, whoever has followed stays.
ALTER TABLE persons ADD COLUMN sponsor_refs TEXT NOT NULL DEFAULT '';

-- Guests without a record that somebody has looked at and leaves alone.
CREATE TABLE orphans_ignored (
    guest  TEXT    PRIMARY KEY, -- Entra object id, small letters
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;
