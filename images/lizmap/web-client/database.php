<?php

// Keeps the schema of Lizmap's accounts in PostgreSQL:
//
//   database.php prepare   makes an empty schema for an installation, in place of one that was cut short
//   database.php publish   gives it its name when the installation is done
//
// So a schema with the name "lizmap" is always a whole one.

function fail(string $message): never
{
    fwrite(STDERR, "configure: {$message}\n");

    exit(1);
}

function query(PgSql\Connection $connection, string $sql): PgSql\Result
{
    return @pg_query($connection, $sql) ?: fail('PostgreSQL refused: '.trim(pg_last_error($connection)));
}

function has_schema(PgSql\Connection $connection, string $name): bool
{
    return pg_num_rows(query($connection, "SELECT FROM pg_namespace WHERE nspname = '{$name}'")) === 1;
}

$connection = @pg_connect('service=lizmap') ?: fail(
    "the database for Lizmap's accounts cannot be reached: ".(error_get_last()['message'] ?? 'no reason given')
);
if ($argv[1] === 'prepare') {
    if (has_schema($connection, 'lizmap')) {
        fail(
            "the database has accounts already (schema lizmap), but Lizmap's settings, which belong to them, are not in "
            .'/srv/lizmap. Put that folder back from a backup. To begin anew, remove the schema.'
        );
    }
    query($connection, 'SET client_min_messages = warning');
    query($connection, 'DROP SCHEMA IF EXISTS lizmap_installing CASCADE');
    query($connection, 'CREATE SCHEMA lizmap_installing');
} elseif (has_schema($connection, 'lizmap_installing')) {
    query($connection, 'ALTER SCHEMA lizmap_installing RENAME TO lizmap');
}
