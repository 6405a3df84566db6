-- Loaded into a database before a file of the first start: what a statement names and this server lacks is made just before
-- the statement runs. Roles of the machine that wrote the file, without rights of their own, which forget-roles.sql takes
-- away again; and collations of its C library, which ICU's stand in for under the same names. They are in pg_catalog, as
-- there, so a dump of this database names them as the file did and leaves them out.
CREATE SCHEMA poppyfield_first_start;
CREATE TABLE poppyfield_first_start.roles (name text);

CREATE FUNCTION poppyfield_first_start.make_missing_names() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    roles CONSTANT text := '(?:GRANT .* TO|REVOKE .* FROM|ALTER .* OWNER TO|ALTER DEFAULT PRIVILEGES .* (?:TO|FROM)|CREATE SCHEMA .* AUTHORIZATION|CREATE POLICY .* TO) ("[^"]+"|[a-z_][a-z0-9_$]*)';
    default_roles CONSTANT text := 'ALTER DEFAULT PRIVILEGES FOR ROLE ("[^"]+"|[a-z_][a-z0-9_$]*)';
    collations CONSTANT text := 'COLLATE (?:pg_catalog\.)?"([a-z]{2,3}[_-][A-Z]{2}(?:[.@][^"]*)?)"';
    wanted text;
BEGIN
    -- That is the one made below, in the same query.
    IF tg_tag = 'CREATE COLLATION' THEN
        RETURN;
    END IF;
    FOR wanted IN
        SELECT trim('"' FROM named[1]) FROM regexp_matches(current_query(), '(?n)^' || roles, 'g') AS named
        UNION SELECT trim('"' FROM named[1]) FROM regexp_matches(current_query(), '(?n)^' || default_roles, 'g') AS named
    LOOP
        IF wanted NOT IN ('public', 'none', 'current_role', 'current_user', 'session_user')
            AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
            INSERT INTO poppyfield_first_start.roles VALUES (wanted);
        END IF;
    END LOOP;
    FOR wanted IN
        SELECT DISTINCT named[1] FROM regexp_matches(current_query(), collations, 'g') AS named
        WHERE NOT EXISTS (SELECT FROM pg_collation WHERE collname = named[1])
    LOOP
        EXECUTE format('CREATE COLLATION pg_catalog.%I (provider = icu, locale = %L)', wanted,
                       regexp_replace(wanted, '^([a-z]+)[_-]([A-Z]+).*$', '\1-\2'));
    END LOOP;
END
$$;

CREATE EVENT TRIGGER poppyfield_first_start ON ddl_command_start
    EXECUTE FUNCTION poppyfield_first_start.make_missing_names();
