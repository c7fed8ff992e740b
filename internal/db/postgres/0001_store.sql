CREATE FUNCTION journal_no_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the journal is append-only: an event cannot be changed';
END $$;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal FOR EACH ROW EXECUTE FUNCTION journal_no_update();

CREATE FUNCTION journal_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the journal is append-only: an event cannot be deleted';
END $$;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal FOR EACH ROW EXECUTE FUNCTION journal_no_delete();

CREATE FUNCTION journal_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the journal is append-only: it cannot be emptied';
END $$;
CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON journal EXECUTE FUNCTION journal_no_truncate();

CREATE FUNCTION journal_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM journal) THEN
		RAISE EXCEPTION 'the journal is append-only: an event can only follow the last one';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER journal_in_order BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION journal_in_order();

CREATE FUNCTION journal_personal_no_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'personal fields of the journal can be erased, not changed';
END $$;
CREATE TRIGGER journal_personal_no_update BEFORE UPDATE ON journal_personal FOR EACH ROW EXECUTE FUNCTION journal_personal_no_update();
