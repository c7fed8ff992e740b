CREATE FUNCTION trail_tiles_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.level <> OLD.level OR NEW.n <> OLD.n OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes THEN
		RAISE EXCEPTION 'the tree of the journal is append-only: a hash cannot be changed';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER trail_tiles_grow BEFORE UPDATE ON trail_tiles FOR EACH ROW EXECUTE FUNCTION trail_tiles_grow();

CREATE FUNCTION trail_tiles_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the tree of the journal is append-only: a hash cannot be deleted';
END $$;
CREATE TRIGGER trail_tiles_no_delete BEFORE DELETE ON trail_tiles FOR EACH ROW EXECUTE FUNCTION trail_tiles_no_delete();

CREATE FUNCTION trail_checkpoints_no_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'a checkpoint cannot be changed';
END $$;
CREATE TRIGGER trail_checkpoints_no_update BEFORE UPDATE ON trail_checkpoints FOR EACH ROW EXECUTE FUNCTION trail_checkpoints_no_update();

CREATE FUNCTION trail_checkpoints_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'a checkpoint cannot be deleted';
END $$;
CREATE TRIGGER trail_checkpoints_no_delete BEFORE DELETE ON trail_checkpoints FOR EACH ROW EXECUTE FUNCTION trail_checkpoints_no_delete();

CREATE FUNCTION trail_archives_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.dropped IS NOT NULL
		OR NEW.first <> (SELECT coalesce(max(last), 0) + 1 FROM trail_archives)
		OR NEW.last >= NEW.archived
		OR NEW.last > (SELECT coalesce((SELECT n * 256 + length(hashes) / 32 FROM trail_tiles WHERE level = 0 ORDER BY n DESC LIMIT 1), 0))
		OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.last AND hash = NEW.hash)
		OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.archived AND kind = 'journal.archived'
			AND (leaf::jsonb #>> '{detail,first}')::bigint = NEW.first AND (leaf::jsonb #>> '{detail,last}')::bigint = NEW.last
			AND leaf::jsonb #>> '{detail,sha256}' = encode(NEW.sha256, 'hex')) THEN
		RAISE EXCEPTION 'an archive follows the last one and is told by an event that names its first, last and sha256';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER trail_archives_insert BEFORE INSERT ON trail_archives FOR EACH ROW EXECUTE FUNCTION trail_archives_insert();

CREATE FUNCTION trail_archives_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.dropped IS NOT NULL OR NEW.dropped IS NULL
		OR NEW.last <> OLD.last OR NEW.first <> OLD.first OR NEW.hash <> OLD.hash OR NEW.sha256 <> OLD.sha256
		OR NEW.file <> OLD.file OR NEW.archived <> OLD.archived
		OR EXISTS (SELECT 1 FROM trail_archives WHERE last < OLD.first AND dropped IS NULL)
		OR NOT EXISTS (SELECT 1 FROM journal WHERE seq = NEW.dropped AND kind = 'journal.dropped'
			AND (leaf::jsonb #>> '{detail,last}')::bigint = OLD.last AND leaf::jsonb #>> '{detail,sha256}' = encode(OLD.sha256, 'hex')) THEN
		RAISE EXCEPTION 'an archive can only be marked as dropped, oldest first, told by an event that names its last and sha256';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER trail_archives_update BEFORE UPDATE ON trail_archives FOR EACH ROW EXECUTE FUNCTION trail_archives_update();

CREATE FUNCTION trail_archives_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the record of an archive cannot be deleted';
END $$;
CREATE TRIGGER trail_archives_no_delete BEFORE DELETE ON trail_archives FOR EACH ROW EXECUTE FUNCTION trail_archives_no_delete();

CREATE OR REPLACE FUNCTION journal_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.seq > (SELECT coalesce(max(last), 0) FROM trail_archives WHERE dropped IS NOT NULL) THEN
		RAISE EXCEPTION 'the journal is append-only: an event can be deleted only once it was archived and the drop was journaled';
	END IF;
	RETURN OLD;
END $$;

CREATE FUNCTION trail_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'what proves the journal cannot be emptied';
END $$;
CREATE TRIGGER trail_tiles_no_truncate BEFORE TRUNCATE ON trail_tiles EXECUTE FUNCTION trail_no_truncate();
CREATE TRIGGER trail_checkpoints_no_truncate BEFORE TRUNCATE ON trail_checkpoints EXECUTE FUNCTION trail_no_truncate();
CREATE TRIGGER trail_archives_no_truncate BEFORE TRUNCATE ON trail_archives EXECUTE FUNCTION trail_no_truncate();

CREATE FUNCTION trail_sponsors_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.sponsor_id <> OLD.sponsor_id THEN
		INSERT INTO trail_sponsors (person, since, sponsor)
		VALUES (NEW.id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, NEW.sponsor_id)
		ON CONFLICT (person, since) DO UPDATE SET sponsor = excluded.sponsor;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER trail_sponsors_note AFTER UPDATE OF sponsor_id ON persons FOR EACH ROW EXECUTE FUNCTION trail_sponsors_note();
