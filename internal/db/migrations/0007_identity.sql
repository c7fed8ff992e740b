-- Who is who, and who must not come back.

-- Further addresses that stand for a person: what an admin, or the bridge being sure, has merged.
CREATE TABLE person_addresses (
    email_key TEXT    PRIMARY KEY CHECK (email_key <> ''),
    person    TEXT    NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    by        TEXT    NOT NULL CHECK (by <> ''),
    reason    TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;

CREATE INDEX person_addresses_person ON person_addresses (person);

-- Two records that somebody looked at and found to be two people.
CREATE TABLE persons_apart (
    one    TEXT    NOT NULL,
    other  TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (one, other),
    CHECK (one < other)
) STRICT, WITHOUT ROWID;

-- A person whose vendor changed its address, as long as the guest still has the former one.
CREATE TABLE address_changes (
    person TEXT    PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
    former TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX engagements_person_id ON engagements (vendor, (record ->> 'personId')) WHERE record ->> 'personId' IS NOT NULL;
CREATE INDEX engagements_security_id ON engagements ((record ->> 'securityId')) WHERE record ->> 'securityId' IS NOT NULL;

-- Do not rehire: hashes under the list's own salt, so that the list tells nobody whom it is about.
CREATE TABLE do_not_rehire (
    id     INTEGER PRIMARY KEY,
    kind   TEXT    NOT NULL CHECK (kind IN ('email', 'personId', 'securityId')),
    vendor TEXT    NOT NULL DEFAULT '', -- kind personId: whose
    hash   BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> '')
) STRICT;

-- People who may come back although they are on the list.
CREATE TABLE rehire_overrides (
    person TEXT    PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL CHECK (by <> ''),
    reason TEXT    NOT NULL CHECK (reason <> '')
) STRICT, WITHOUT ROWID;
