"""The SQL that tells what a database holds, and what of its roles and rights."""

from __future__ import annotations

SESSION = """
SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET lc_monetary = 'C'; SET quote_all_identifiers = off;
SET jit = off;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN
('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout', 'lock_timeout');
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
"""
"""What an owner may have set changes neither how a row is written as text, nor how long the session lasts."""
EXPORT = "SELECT pg_export_snapshot();"
OF_PEOPLE = "{schema}::regnamespace::text !~ '^(pg_|information_schema$)'"
OF_EXTENSION = """
LEFT JOIN pg_depend d ON d.classid = '{catalogue}'::regclass AND d.objid = {oid} AND d.objsubid = 0 AND d.deptype = 'e'
"""
RELATIONS = f"""
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
{OF_EXTENSION.format(catalogue="pg_class", oid="c.oid")}
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
AND (e.oid IS NULL OR c.oid = ANY (e.extconfig))
"""
"""As pg_dump chooses them: of an extension's own tables those that people fill, and of these what is not its own."""
TABLES = f"""
SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname), 'sql', format(
    'SELECT json_build_array(count(*), coalesce(sum(hashtextextended(ROW(%s)::text, 0)), 0)::text,'
    ' coalesce(pg_relation_filenode(%s) = %s, false)) FROM ONLY %I.%I t %s;',
    (SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    c.oid, c.relfilenode, n.nspname, c.relname,
    e.extcondition[array_position(e.extconfig, c.oid)]))), '[]')
{RELATIONS} AND c.relkind = 'r';
"""  # noqa: S608
SEQUENCES = f"""
SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname), 'sql', format(
    'SELECT to_json((last_value::numeric + CASE WHEN is_called THEN %s ELSE 0 END)::text) FROM %I.%I;',
    (SELECT seqincrement FROM pg_sequence WHERE seqrelid = c.oid), n.nspname, c.relname))), '[]')
{RELATIONS} AND c.relkind = 'S';
"""  # noqa: S608
NUMBERS = """
SELECT coalesce(json_agg(json_build_object('name', s.name, 'sql', format(
    'SELECT json_build_array(last_value, is_called) FROM %s;', s.name))), '[]')
FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
    WHERE c.relkind = 'S') s;
"""
"""Sequences of extensions, which a dump holds only where the extension says so. One numbers PostGIS' topologies."""
LARGE_OBJECTS = """
SELECT json_build_array(
    count(*), coalesce(sum(hashtextextended(oid || encode(sha256(lo_get(oid)), 'hex'), 0)), 0)::text, true)
FROM pg_largeobject_metadata;
"""
RIGHTS = f"""
WITH objects (kind, name, owner, acl, of_extension) AS (
    SELECT 'database', quote_ident(datname), datdba, coalesce(datacl, acldefault('d', datdba)), false
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'schema', n.oid::regnamespace::text, n.nspowner,
        CASE WHEN d.objid IS NULL THEN coalesce(n.nspacl, acldefault('n', n.nspowner)) ELSE n.nspacl END,
        d.objid IS NOT NULL
    FROM pg_namespace n {OF_EXTENSION.format(catalogue="pg_namespace", oid="n.oid")}
    WHERE {OF_PEOPLE.format(schema="n.oid")}
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass::text, c.relowner,
        CASE WHEN d.objid IS NULL
        THEN coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
        ELSE c.relacl END, d.objid IS NOT NULL
    FROM pg_class c {OF_EXTENSION.format(catalogue="pg_class", oid="c.oid")}
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {OF_PEOPLE.format(schema="c.relnamespace")}
    UNION ALL
    SELECT 'column', format('%s.%I', c.oid::regclass, a.attname), c.relowner, a.attacl, true
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND {OF_PEOPLE.format(schema="c.relnamespace")}
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, p.proowner,
        CASE WHEN d.objid IS NULL THEN coalesce(p.proacl, acldefault('f', p.proowner)) ELSE p.proacl END,
        d.objid IS NOT NULL
    FROM pg_proc p {OF_EXTENSION.format(catalogue="pg_proc", oid="p.oid")}
    WHERE {OF_PEOPLE.format(schema="p.pronamespace")}
    UNION ALL
    SELECT 'type', t.oid::regtype::text, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)), false
    FROM pg_type t {OF_EXTENSION.format(catalogue="pg_type", oid="t.oid")}
    WHERE t.typtype IN ('d', 'e', 'r') AND d.objid IS NULL AND {OF_PEOPLE.format(schema="t.typnamespace")}
    UNION ALL
    SELECT 'rights given beforehand', concat_ws(' ', defaclobjtype, nullif(defaclnamespace, 0)::regnamespace),
        defaclrole, defaclacl, false
    FROM pg_default_acl
    UNION ALL
    SELECT 'large object', oid::text, lomowner, coalesce(lomacl, acldefault('L', lomowner)), false
    FROM pg_largeobject_metadata
)
SELECT coalesce(json_agg(line), '[]') FROM (
    SELECT format('%s %s is owned by %s', kind, name, pg_get_userbyid(owner)) FROM objects WHERE NOT of_extension
    UNION
    SELECT format('%s %s: %s has %s%s%s', kind, name,
        CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee) END, privilege_type,
        CASE WHEN is_grantable THEN ' and may give it on' ELSE '' END,
        CASE WHEN of_extension OR grantor = owner THEN '' ELSE ', given by ' || pg_get_userbyid(grantor) END)
    FROM objects, aclexplode(acl) WHERE NOT of_extension OR grantee <> owner
    UNION
    SELECT format('setting of the database%s: %s',
        CASE setrole WHEN 0 THEN '' ELSE ' for ' || pg_get_userbyid(setrole) END, setting)
    FROM pg_db_role_setting, unnest(setconfig) setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) lines (line);
"""  # noqa: S608
"""In words, so that what differs can be said. Of an extension only what others got: its owner is whoever made it."""
ROLES = """
SELECT coalesce(json_agg(line), '[]') FROM (
    SELECT format('role %I: %s', rolname, concat_ws(', ', 'limit ' || rolconnlimit, 'until ' || rolvaliduntil,
        CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolinherit THEN 'inherits' END,
        CASE WHEN rolcreaterole THEN 'makes roles' END, CASE WHEN rolcreatedb THEN 'makes databases' END,
        CASE WHEN rolcanlogin THEN 'logs in' END, CASE WHEN rolreplication THEN 'replicates' END,
        CASE WHEN rolbypassrls THEN 'passes row security' END,
        'password ' || left(encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex'), 8)))
    FROM pg_authid WHERE rolname !~ '^pg_'
    UNION ALL
    SELECT DISTINCT format('role %I is in %I%s', pg_get_userbyid(member), pg_get_userbyid(roleid),
        CASE WHEN admin_option THEN ', and may take others in' ELSE '' END)
    FROM pg_auth_members WHERE pg_get_userbyid(member) !~ '^pg_'
    UNION ALL
    SELECT format('setting of role %I: %s', pg_get_userbyid(setrole), setting)
    FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = 0 AND setrole <> 0
) lines (line);
"""
