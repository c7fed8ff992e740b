-- What makes the journal provable to a stranger: its Merkle tree, the checkpoints signed over it, and what was archived.

-- The tree over the journal's leaves, in tiles of 256 hashes (C2SP tlog-tiles). It is worked out from the journal and may be
-- behind it; it never shrinks.
CREATE TABLE trail_tiles (
    level  INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    n      INTEGER NOT NULL CHECK (n >= 0),
    hashes BLOB    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, n)
) STRICT;

CREATE TRIGGER trail_tiles_grow BEFORE UPDATE ON trail_tiles
WHEN NEW.level <> OLD.level OR NEW.n <> OLD.n OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes
BEGIN SELECT RAISE(ABORT, 'the tree of the journal is append-only: a hash cannot be changed'); END;

CREATE TRIGGER trail_tiles_no_delete BEFORE DELETE ON trail_tiles
BEGIN SELECT RAISE(ABORT, 'the tree of the journal is append-only: a hash cannot be deleted'); END;

CREATE TABLE trail_checkpoints (
    id         INTEGER PRIMARY KEY,
    size       INTEGER NOT NULL CHECK (size > 0),
    made       INTEGER NOT NULL,
    public_key TEXT    NOT NULL,
    note       TEXT    NOT NULL
) STRICT;

CREATE TRIGGER trail_checkpoints_no_update BEFORE UPDATE ON trail_checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint cannot be changed'); END;

CREATE TRIGGER trail_checkpoints_no_delete BEFORE DELETE ON trail_checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint cannot be deleted'); END;

-- Old events may leave the journal, in two steps that the journal itself tells: they are written to an archive (event "archived",
-- sealed with the archive's hash), and then dropped (event "dropped"). Their hashes stay in the tree.
CREATE TABLE trail_archives (
    last     INTEGER PRIMARY KEY CHECK (last >= first),
    first    INTEGER NOT NULL CHECK (first > 0),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),   -- of the last event
    sha256   BLOB    NOT NULL CHECK (length(sha256) = 32), -- of the archive
    file     TEXT    NOT NULL,
    archived INTEGER NOT NULL,                             -- event
    dropped  INTEGER                                       -- event; NULL: the events are still in the journal
) STRICT;

CREATE TRIGGER trail_archives_insert BEFORE INSERT ON trail_archives
WHEN NEW.dropped IS NOT NULL
    OR NEW.first <> (SELECT coalesce(max(last), 0) + 1 FROM trail_archives)
    OR NEW.last >= NEW.archived
    OR NEW.last > (SELECT coalesce((SELECT n * 256 + length(hashes) / 32 FROM trail_tiles WHERE level = 0 ORDER BY n DESC LIMIT 1), 0))
    OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.last AND hash = NEW.hash)
    OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.archived AND kind = 'journal.archived'
        AND leaf ->> '$.detail.first' = NEW.first AND leaf ->> '$.detail.last' = NEW.last AND leaf ->> '$.detail.sha256' = lower(hex(NEW.sha256)))
BEGIN SELECT RAISE(ABORT, 'an archive follows the last one and is told by an event that names its first, last and sha256'); END;

CREATE TRIGGER trail_archives_update BEFORE UPDATE ON trail_archives
WHEN OLD.dropped IS NOT NULL OR NEW.dropped IS NULL
    OR NEW.last <> OLD.last OR NEW.first <> OLD.first OR NEW.hash <> OLD.hash OR NEW.sha256 <> OLD.sha256
    OR NEW.file <> OLD.file OR NEW.archived <> OLD.archived
    OR EXISTS (SELECT 1 FROM trail_archives WHERE last < OLD.first AND dropped IS NULL)
    OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.dropped AND kind = 'journal.dropped'
        AND leaf ->> '$.detail.last' = OLD.last AND leaf ->> '$.detail.sha256' = lower(hex(OLD.sha256)))
BEGIN SELECT RAISE(ABORT, 'an archive can only be marked as dropped, oldest first, told by an event that names its last and sha256'); END;

CREATE TRIGGER trail_archives_no_delete BEFORE DELETE ON trail_archives
BEGIN SELECT RAISE(ABORT, 'the record of an archive cannot be deleted'); END;

DROP TRIGGER journal_no_delete;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
WHEN OLD.seq > (SELECT coalesce(max(last), 0) FROM trail_archives WHERE dropped IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event can be deleted only once it was archived and the drop was journaled'); END;

-- How far each sink was given the journal.
CREATE TABLE trail_cursors (
    sink    TEXT    PRIMARY KEY CHECK (sink <> ''),
    seq     INTEGER NOT NULL CHECK (seq >= 0),
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who was answerable for a guest, and since when: the person's row has only the latest.
CREATE TABLE trail_sponsors (
    person  TEXT    NOT NULL REFERENCES persons (id),
    since   INTEGER NOT NULL,
    sponsor TEXT    NOT NULL, -- Entra object id; '' none
    PRIMARY KEY (person, since)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER trail_sponsors_note AFTER UPDATE OF sponsor_id ON persons
WHEN NEW.sponsor_id <> OLD.sponsor_id
BEGIN
    INSERT OR REPLACE INTO trail_sponsors (person, since, sponsor)
    VALUES (NEW.id, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER), NEW.sponsor_id);
END;
