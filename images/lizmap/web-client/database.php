<?php

// Keeps the schema of Lizmap's accounts in PostgreSQL, so that it goes with the settings of the same version:
//
//   database.php settle VERSION    VERSION goes on: puts back what an upgrade from VERSION found, if there was one
//   database.php empty             makes an empty schema for an installation, in place of one that was cut short
//   database.php copy VERSION      copies the schema before VERSION is upgraded
//   database.php publish           gives the schema its name when the installation is done
//
// So "lizmap" is always a whole schema, but for the time of an upgrade, and "lizmap_before" the copy from before the last
// one. Its comment is the version that it goes with.

const COPY = 'lizmap_before';

function fail(string $message): never
{
    fwrite(STDERR, "configure: {$message}\n");

    exit(1);
}

function query(string $sql): array
{
    global $connection;
    $result = @pg_query($connection, $sql) ?: fail('PostgreSQL refused: '.trim(pg_last_error($connection)));

    return pg_fetch_all($result);
}

/** The comment of a schema, empty when it has none; null when there is no such schema. */
function comment_of(string $schema): ?string
{
    $found = query("SELECT obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace WHERE nspname = '{$schema}'");

    return $found ? (string) $found[0]['comment'] : null;
}

/** The copy of this version takes the place of what an upgrade has made of the schema. */
function put_back(string $version): void
{
    if (comment_of(COPY) === $version) {
        query('BEGIN');
        query('DROP SCHEMA IF EXISTS lizmap CASCADE');
        query('ALTER SCHEMA '.COPY.' RENAME TO lizmap');
        query('COMMENT ON SCHEMA lizmap IS NULL');
        query('COMMIT');
        echo "The accounts are those from before the upgrade of Lizmap Web Client {$version}.\n";
    }
}

/** Copies what Lizmap has in a schema: tables with their rows, sequences, constraints and indexes. */
function copy_schema(string $from, string $to): void
{
    // What is in the search path is named without its schema, so what is said of one can be said to the other.
    query("CREATE SCHEMA {$to}");
    query("SET LOCAL search_path TO {$from}");
    $relations = "SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = '{$from}'::regnamespace AND relkind = ";
    $tables = query("{$relations} 'r'");
    $sequences = query("{$relations} 'S'");
    $numbered = query(
        "SELECT s.oid::regclass AS sequence, seqtypid::regtype AS type, adrelid::regclass AS table,
                quote_ident(attname) AS column, pg_get_expr(adbin, adrelid) AS expression
         FROM pg_attrdef d
         JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
         JOIN pg_depend ON classid = 'pg_attrdef'::regclass AND objid = d.oid
         JOIN pg_class s ON s.oid = refobjid AND s.relnamespace = '{$from}'::regnamespace
         JOIN pg_sequence ON seqrelid = s.oid"
    );
    $constraints = query(
        "SELECT conrelid::regclass AS table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
         FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = '{$from}'::regnamespace
         ORDER BY contype = 'f'"
    );
    $indexes = query(
        "SELECT pg_get_indexdef(indexrelid, 0, true) AS definition
         FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid AND relnamespace = '{$from}'::regnamespace
         WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
    );
    query("SET LOCAL search_path TO {$to}");
    foreach ($tables as ['name' => $table]) {
        query("CREATE TABLE {$table} (LIKE {$from}.{$table} INCLUDING ALL EXCLUDING INDEXES)");
        query("INSERT INTO {$table} OVERRIDING SYSTEM VALUE TABLE {$from}.{$table}");
    }
    foreach ($numbered as $of) {
        query("CREATE SEQUENCE {$of['sequence']} AS {$of['type']} OWNED BY {$of['table']}.{$of['column']}");
        query("ALTER TABLE {$of['table']} ALTER COLUMN {$of['column']} SET DEFAULT {$of['expression']}");
    }
    foreach ($sequences as ['name' => $sequence]) {
        query("SELECT setval('{$sequence}', last_value, is_called) FROM {$from}.{$sequence}");
    }
    foreach ($constraints as $of) {
        query("ALTER TABLE {$of['table']} ADD CONSTRAINT {$of['name']} {$of['definition']}");
    }
    foreach ($indexes as ['definition' => $definition]) {
        query($definition);
    }
}

$connection = @pg_connect('service=lizmap') ?: fail(
    "the database for Lizmap's accounts cannot be reached: ".(error_get_last()['message'] ?? 'no reason given')
);
query('SET client_min_messages = warning');
switch ($argv[1]) {
    case 'settle':
        put_back($argv[2]);

        break;

    case 'empty':
        if (comment_of('lizmap') !== null) {
            fail(
                "the database has accounts already (schema lizmap), but Lizmap's settings, which belong to them, are not "
                .'in /srv/lizmap. Put that folder back from a backup. To start afresh, remove the schema.'
            );
        }
        query('DROP SCHEMA IF EXISTS lizmap_installing, '.COPY.' CASCADE');
        query('CREATE SCHEMA lizmap_installing');

        break;

    case 'copy':
        // An upgrade that was cut short is done again, from what was there before.
        put_back($argv[2]);
        query('BEGIN');
        query('DROP SCHEMA IF EXISTS '.COPY.' CASCADE');
        copy_schema('lizmap', COPY);
        query('COMMENT ON SCHEMA '.COPY.' IS '.pg_escape_literal($connection, $argv[2]));
        query('COMMIT');

        break;

    case 'publish':
        if (comment_of('lizmap_installing') !== null) {
            query('ALTER SCHEMA lizmap_installing RENAME TO lizmap');
        }
}
