-- What sponsors are told and asked, and what they answer.

-- One row for each digest: the outbox. A sponsor gets one a day at most.
CREATE TABLE mails (
    seq      INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    sponsor  TEXT    NOT NULL CHECK (sponsor <> ''),              -- Entra object id
    day      TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at  INTEGER,                                             -- NULL: never again
    sent     INTEGER,
    error    TEXT    NOT NULL DEFAULT '',
    UNIQUE (sponsor, day),
    CHECK (state <> 'sent' OR sent IS NOT NULL)
) STRICT;

CREATE INDEX mails_next ON mails (next_at) WHERE next_at IS NOT NULL;

-- Only the hash of a link is kept. It can be made again from its id and the key file, which is not here.
CREATE TABLE links (
    id         TEXT    PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    sponsor    TEXT    NOT NULL,
    person     TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    engagement TEXT    NOT NULL,
    attest     INTEGER NOT NULL CHECK (attest IN (0, 1)),
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    used       INTEGER,
    action     TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX links_person ON links (person);

-- What to tell, each once. mail is NULL until the next digest.
CREATE TABLE notices (
    seq        INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL CHECK (kind IN ('ending', 'hold', 'sponsor', 'attest')),
    sponsor    TEXT    NOT NULL CHECK (sponsor <> ''),
    person     TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    engagement TEXT    NOT NULL,
    until      INTEGER,
    words      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    mail       INTEGER REFERENCES mails (seq),
    link       TEXT    REFERENCES links (id)
) STRICT;

CREATE INDEX notices_waiting ON notices (sponsor) WHERE mail IS NULL;
CREATE INDEX notices_mail ON notices (mail) WHERE mail IS NOT NULL;
CREATE INDEX notices_person ON notices (person);

-- Who answers for a person, and what was said about it.
CREATE TABLE sponsorships (
    person    TEXT    PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
    told      TEXT    NOT NULL DEFAULT '',                         -- the sponsor last noted as told
    manager   TEXT    NOT NULL DEFAULT '',                         -- of that sponsor, when it was last seen
    checked   INTEGER,
    asked     INTEGER,                                             -- an attestation is asked for since; NULL: none
    confirmed INTEGER,
    by        TEXT    NOT NULL DEFAULT '',
    CHECK (confirmed IS NULL OR by <> '')
) STRICT, WITHOUT ROWID;

-- A sponsor's end of one engagement. It stands, whatever the vendor sends.
CREATE TABLE engagement_stops (
    engagement TEXT    PRIMARY KEY REFERENCES engagements (id),
    at         INTEGER NOT NULL,
    by         TEXT    NOT NULL CHECK (by <> ''),
    reason     TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;

-- The date that a sponsor asks for beyond what the mapping allows without an admin; the hold has the rest.
CREATE TABLE extension_asks (
    hold  INTEGER PRIMARY KEY REFERENCES holds (id) ON DELETE CASCADE,
    until INTEGER NOT NULL,
    by    TEXT    NOT NULL CHECK (by <> '')
) STRICT;
