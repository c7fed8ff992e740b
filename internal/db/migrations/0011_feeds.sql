-- What is read from files and from vendors' own SCIM servers.

-- How far each vendor's server was read, as JSON (contractor.PullState), and who reads a feed of the vendor just now: two at once
-- would take each other's records for absent.
CREATE TABLE feeds (
    vendor     TEXT    PRIMARY KEY,
    pull       TEXT    CHECK (pull IS NULL OR json_valid(pull)),
    busy_by    TEXT    NOT NULL DEFAULT '',
    busy_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- How far a file was imported: one that was interrupted goes on there.
CREATE TABLE imports (
    vendor  TEXT    NOT NULL,
    file    TEXT    NOT NULL CHECK (file <> ''), -- hash of the file and of how it is read
    line    INTEGER NOT NULL CHECK (line >= 0),
    counts  TEXT    NOT NULL CHECK (json_valid(counts)),
    begun   INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    done    INTEGER NOT NULL CHECK (done IN (0, 1)),
    PRIMARY KEY (vendor, file)
) STRICT, WITHOUT ROWID;
