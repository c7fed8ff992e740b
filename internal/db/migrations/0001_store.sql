-- The store as it began. A released migration is never edited: the store refuses a file whose recorded checksum differs.
-- Times are Unix microseconds, UTC. Booleans are 0 or 1.

CREATE TABLE vendors (
    name     TEXT    PRIMARY KEY CHECK (name <> ''),
    created  INTEGER NOT NULL,
    paused   INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    -- Kept with every write so that no list page counts: engagements that are not tombstones, those of them that have not
    -- ended (the quota's measure), and the last ordinal given out.
    total    INTEGER NOT NULL DEFAULT 0 CHECK (total >= 0),
    live     INTEGER NOT NULL DEFAULT 0 CHECK (live >= 0 AND live <= total),
    last_ord INTEGER NOT NULL DEFAULT 0 CHECK (last_ord >= total),
    changes  INTEGER NOT NULL DEFAULT 0 -- grows with every change of one of its engagements
) STRICT, WITHOUT ROWID;

-- Ordinals of a vendor that no longer stand in its list, counted per 1024: the offset of a page is found by walking these
-- few rows instead of the list.
CREATE TABLE vendor_holes (
    vendor TEXT    NOT NULL REFERENCES vendors (name),
    bucket INTEGER NOT NULL,
    holes  INTEGER NOT NULL CHECK (holes BETWEEN 1 AND 1024),
    PRIMARY KEY (vendor, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id        TEXT    PRIMARY KEY,
    vendor    TEXT    NOT NULL REFERENCES vendors (name),
    hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256; the token itself is stored nowhere
    created   INTEGER NOT NULL,
    expires   INTEGER,                                           -- NULL: never
    last_used INTEGER,                                           -- coarse: to within minutes
    revoked   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_vendor ON tokens (vendor);

CREATE TABLE persons (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    email       TEXT    NOT NULL,
    email_key   TEXT    NOT NULL UNIQUE CHECK (email_key <> ''),
    created     INTEGER NOT NULL,

    gen         INTEGER NOT NULL DEFAULT 1 CHECK (gen > 0),
    rev         INTEGER NOT NULL DEFAULT 0 CHECK (rev >= 0),
    next_at     INTEGER,
    urgent      INTEGER NOT NULL DEFAULT 0 CHECK (urgent IN (0, 1)),

    guest_id    TEXT    NOT NULL DEFAULT '',
    origin      TEXT    NOT NULL DEFAULT '' CHECK (origin IN ('', 'invited', 'adopted')),
    phase       TEXT    NOT NULL DEFAULT 'new' CHECK (phase IN ('new', 'open', 'closed', 'gone')),
    inviting_at INTEGER,
    invited_at  INTEGER,
    closing_at  INTEGER,
    closed_at   INTEGER,
    revoked_at  INTEGER,
    empty_at    INTEGER,
    deleting_at INTEGER,
    missing_at  INTEGER,
    gone_at     INTEGER,

    attributes_hash TEXT    NOT NULL DEFAULT '',
    sponsor_id      TEXT    NOT NULL DEFAULT '',
    guest_state     TEXT    NOT NULL DEFAULT '',
    failures        INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    last_error      TEXT    NOT NULL DEFAULT '',
    held            TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX persons_due ON persons (urgent, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX persons_guest ON persons (guest_id) WHERE guest_id <> '';
CREATE INDEX persons_held ON persons (seq) WHERE held <> '';
CREATE INDEX persons_failing ON persons (seq) WHERE failures > 0;

-- One SCIM User of one vendor. Columns before "version" repeat, folded for comparing, what the resource says, so that the
-- look-ups that clients do need no JSON.
CREATE TABLE engagements (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    vendor      TEXT    NOT NULL REFERENCES vendors (name),
    ord         INTEGER NOT NULL,                              -- place in the vendor's list
    person      TEXT             REFERENCES persons (id),      -- NULL: a test user
    deleted     INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
    test        INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)),

    user_key    TEXT    NOT NULL,
    external_id TEXT,
    email_key   TEXT,                                          -- the first address
    other_keys  TEXT,                                          -- the further ones, a line each; engagement_emails has them too
    worker_id   TEXT,
    end_date    TEXT,                                          -- as the vendor sent it, folded
    active      INTEGER NOT NULL CHECK (active IN (0, 1)),

    version     INTEGER NOT NULL CHECK (version > 0),
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    end_set_at  INTEGER,
    ended_at    INTEGER,
    prev_end    INTEGER,
    status      TEXT    NOT NULL DEFAULT ''
                CHECK (status IN ('', 'scheduled', 'active', 'expiring', 'held', 'offboarding', 'removed')),
    start_at    INTEGER,                                       -- effective, by the loop
    end_at      INTEGER,                                       -- effective, by the loop

    standing    TEXT    NOT NULL,
    record      TEXT    NOT NULL,
    resource    TEXT    NOT NULL,
    unused      TEXT,

    CHECK (test = 0 OR person IS NULL),
    CHECK (test = 1 OR person IS NOT NULL),
    CHECK (deleted = 0 OR ended_at IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX engagements_ord ON engagements (vendor, ord) WHERE deleted = 0;
CREATE UNIQUE INDEX engagements_user ON engagements (vendor, user_key) WHERE deleted = 0;
CREATE UNIQUE INDEX engagements_external ON engagements (vendor, external_id) WHERE deleted = 0 AND external_id IS NOT NULL;
CREATE INDEX engagements_email ON engagements (vendor, email_key) WHERE deleted = 0;
CREATE INDEX engagements_worker ON engagements (vendor, worker_id) WHERE deleted = 0 AND worker_id IS NOT NULL;
CREATE INDEX engagements_end_date ON engagements (vendor, end_date) WHERE deleted = 0 AND end_date IS NOT NULL;
CREATE INDEX engagements_active ON engagements (vendor, active, ord) WHERE deleted = 0;
CREATE INDEX engagements_created ON engagements (vendor, created) WHERE deleted = 0;
CREATE INDEX engagements_modified ON engagements (vendor, modified) WHERE deleted = 0;
CREATE INDEX engagements_status ON engagements (vendor, status, ord) WHERE deleted = 0;
CREATE INDEX engagements_person ON engagements (person) WHERE person IS NOT NULL;
CREATE INDEX engagements_end ON engagements (end_at) WHERE end_at IS NOT NULL AND status NOT IN ('offboarding', 'removed');
CREATE INDEX engagements_dead_user ON engagements (vendor, user_key) WHERE deleted = 1;
CREATE INDEX engagements_dead_external ON engagements (vendor, external_id) WHERE deleted = 1 AND external_id IS NOT NULL;

-- Addresses of an engagement beyond its first, folded.
CREATE TABLE engagement_emails (
    email_key  TEXT    NOT NULL,
    engagement INTEGER NOT NULL REFERENCES engagements (seq),
    PRIMARY KEY (email_key, engagement)
) STRICT, WITHOUT ROWID;

CREATE INDEX engagement_emails_engagement ON engagement_emails (engagement);

-- What a person holds or held. Ended holdings stay: they answer who had what at a time.
CREATE TABLE holdings (
    id          INTEGER PRIMARY KEY,
    person      TEXT    NOT NULL REFERENCES persons (id),
    kind        TEXT    NOT NULL CHECK (kind IN ('group', 'access_package')),
    entitlement TEXT    NOT NULL CHECK (entitlement <> ''), -- Entra object id
    name        TEXT    NOT NULL,
    policy      TEXT    NOT NULL,
    expiry      TEXT    NOT NULL CHECK (expiry IN ('', 'entra', 'bridge')),
    mechanism   TEXT    NOT NULL CHECK (mechanism IN ('pim', 'member', 'package')),
    state       TEXT    NOT NULL CHECK (state IN ('granting', 'held', 'removing', 'ended')),
    handle      TEXT    NOT NULL,
    since       INTEGER,
    end_at      INTEGER NOT NULL,                           -- no grant without an end
    entra_end   INTEGER,
    written_at  INTEGER,
    ended_at    INTEGER,
    rule        TEXT    NOT NULL,
    line        INTEGER NOT NULL,
    revision    TEXT    NOT NULL,
    engagement  TEXT    NOT NULL,
    vendor      TEXT    NOT NULL,
    CHECK (state <> 'ended' OR ended_at IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX holdings_one ON holdings (person, kind, entitlement) WHERE state <> 'ended';
CREATE INDEX holdings_person ON holdings (person);
CREATE INDEX holdings_entitlement ON holdings (kind, entitlement) WHERE state <> 'ended';

-- The mapping file as it was in force, by the hash of its text.
CREATE TABLE mapping_revisions (
    seq    INTEGER PRIMARY KEY,
    hash   TEXT    NOT NULL,
    text   TEXT    NOT NULL,
    who    TEXT    NOT NULL, -- actor, as JSON
    loaded INTEGER NOT NULL
) STRICT;

CREATE INDEX mapping_revisions_hash ON mapping_revisions (hash);

CREATE TABLE settings (
    key     TEXT    PRIMARY KEY,
    value   BLOB    NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal: the leaf is the canonical form that was hashed; the columns beside it repeat what queries need.
CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY CHECK (seq > 0),
    time       INTEGER NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    person     TEXT    NOT NULL,
    engagement TEXT    NOT NULL,
    vendor     TEXT    NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    leaf       TEXT    NOT NULL
) STRICT;

CREATE INDEX journal_time ON journal (time);
CREATE INDEX journal_kind ON journal (kind);
CREATE INDEX journal_person ON journal (person) WHERE person <> '';
CREATE INDEX journal_engagement ON journal (engagement) WHERE engagement <> '';
CREATE INDEX journal_vendor ON journal (vendor) WHERE vendor <> '';

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event cannot be changed'); END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event cannot be deleted'); END;

CREATE TRIGGER journal_in_order BEFORE INSERT ON journal
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM journal)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event can only follow the last one'); END;

-- Names and addresses that an event carried: bound to the chain by a salted hash in the leaf, and erasable.
CREATE TABLE journal_personal (
    seq    INTEGER PRIMARY KEY REFERENCES journal (seq),
    person TEXT    NOT NULL,
    salt   BLOB    NOT NULL CHECK (length(salt) = 16),
    fields TEXT    NOT NULL
) STRICT;

CREATE INDEX journal_personal_person ON journal_personal (person);

CREATE TRIGGER journal_personal_no_update BEFORE UPDATE ON journal_personal
BEGIN SELECT RAISE(ABORT, 'personal fields of the journal can be erased, not changed'); END;
