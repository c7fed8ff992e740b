-- What the statements of the store use and PostgreSQL lacks, with the meaning that it has in SQLite. Made before the tables,
-- since an index uses some.

CREATE OR REPLACE FUNCTION max(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT greatest($1, $2) $$;

CREATE OR REPLACE FUNCTION min(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT least($1, $2) $$;

CREATE OR REPLACE FUNCTION instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT strpos($1, $2) $$;

-- Of PostgreSQL's own substr, an integer is the start; a bigint is one here, and counts from the end where it is negative.
CREATE OR REPLACE FUNCTION substr(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN $2 < 0 THEN right($1, (-$2)::integer) ELSE substring($1 FROM $2::integer) END $$;

CREATE OR REPLACE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT upper(encode($1, 'hex')) $$;

CREATE OR REPLACE FUNCTION group_concat_step(text, text, text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN $1 IS NULL THEN $2 WHEN $2 IS NULL THEN $1 ELSE $1 || $3 || $2 END $$;

CREATE OR REPLACE AGGREGATE group_concat(text, text) (SFUNC = group_concat_step, STYPE = text);

-- JSON is kept as text, so that what a vendor sent and what was hashed stay byte for byte.

CREATE OR REPLACE FUNCTION json_at(doc text, path text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT jsonb_path_query_first(doc::jsonb, ('strict ' || path)::jsonpath, '{}', true) $$;

CREATE OR REPLACE FUNCTION json_type_of(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE jsonb_typeof(value) WHEN 'string' THEN 'text' WHEN 'boolean' THEN value::text
	WHEN 'number' THEN CASE WHEN value::text ~ '[.eE]' THEN 'real' ELSE 'integer' END ELSE jsonb_typeof(value) END $$;

CREATE OR REPLACE FUNCTION json_text_of(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT value #>> '{}' $$;

CREATE OR REPLACE FUNCTION json_type(doc text, path text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT json_type_of(json_at(doc, path)) $$;

CREATE OR REPLACE FUNCTION json_extract(doc text, path text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT json_text_of(json_at(doc, path)) $$;

CREATE OR REPLACE FUNCTION json_valid(doc text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	PERFORM doc::jsonb;
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	RETURN false;
END $$;

-- It stands in indexes, and so calls nothing of ours: PostgreSQL rebuilds an index without our schema in its path.
CREATE OR REPLACE FUNCTION json_arrow(doc text, path text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN left(path, 1) = '$' THEN jsonb_path_query_first(doc::jsonb, ('strict ' || path)::jsonpath, '{}', true) #>> '{}' ELSE doc::jsonb ->> path END $$;

DO $$ BEGIN
	CREATE OPERATOR ->> (LEFTARG = text, RIGHTARG = text, FUNCTION = json_arrow);
EXCEPTION WHEN duplicate_function THEN NULL;
END $$;

CREATE OR REPLACE FUNCTION json_each(doc text, path text DEFAULT '$') RETURNS TABLE (id bigint, key text, value text, type text, atom text)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS $$
	SELECT x.id, x.key, json_text_of(x.element), json_type_of(x.element),
		CASE WHEN jsonb_typeof(x.element) NOT IN ('array', 'object') THEN json_text_of(x.element) END
	FROM (SELECT json_at($1, $2) AS root) r, LATERAL (
		SELECT n AS id, (n - 1)::text AS key, element FROM jsonb_array_elements(CASE jsonb_typeof(r.root) WHEN 'array' THEN r.root ELSE '[]' END) WITH ORDINALITY AS a (element, n)
		UNION ALL
		SELECT n, name, element FROM jsonb_each(CASE jsonb_typeof(r.root) WHEN 'object' THEN r.root ELSE '{}' END) WITH ORDINALITY AS o (name, element, n)
		UNION ALL
		SELECT 0, NULL, r.root WHERE jsonb_typeof(r.root) NOT IN ('array', 'object')
	) x
$$;

CREATE OR REPLACE FUNCTION scim_number(text) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN $1 ~ '^-?[0-9]{1,255}(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$' THEN $1::double precision END $$;

-- An RFC 3339 date-time as microseconds; what is finer is cut off, and NULL is what is no date-time.
CREATE OR REPLACE FUNCTION scim_micros(text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF $1 !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})$' THEN
		RETURN NULL;
	END IF;
	RETURN floor(extract(epoch FROM regexp_replace(replace($1, ',', '.'), '(\.[0-9]{6})[0-9]+', '\1')::timestamptz) * 1000000)::bigint;
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;
END $$;

-- Lower case a letter at a time, as Go folds what is compared with it: never by the rules of a language.
DO $$
DECLARE fold text;
BEGIN
	SELECT collname INTO fold FROM pg_collation
	WHERE collname IN ('pg_c_utf8', 'C.utf8', 'C.UTF-8', 'en_US.utf8', 'en_US.UTF-8', 'und-x-icu') AND collencoding IN (-1, pg_char_to_encoding('UTF8'))
	ORDER BY array_position(ARRAY['pg_c_utf8', 'C.utf8', 'C.UTF-8', 'en_US.utf8', 'en_US.UTF-8', 'und-x-icu'], collname::text) LIMIT 1;
	EXECUTE format('CREATE OR REPLACE FUNCTION scim_fold(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT lower($1 COLLATE %I) COLLATE "C" $f$', coalesce(fold, 'default'));
END $$;
