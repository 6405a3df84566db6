<?php

// Removes from Lizmap's table of what visitors did (views of maps, prints, logins) what is too old or too much. Each view of
// a map is a row, so visitors decide how many there are.

const MOST_ROWS = 100000;
const DAYS = 400;
// A file of SQLite does not become smaller by itself. It is written again only when most of it is empty.
const EMPTY_BYTES = 16 * 1024 * 1024;

$profiles = parse_ini_file('/usr/share/lizmap/lizmap/var/config/profiles.ini.php', true, INI_SCANNER_RAW);
$log = $profiles['jdb:lizlog'];
if ($log['driver'] === 'pgsql') {
    $database = new PDO("pgsql:service={$log['service']};dbname={$log['database']}");
    $database->exec("SET search_path TO {$log['search_path']}");
    $oldest = "now() - interval '".DAYS." days'";
} else {
    $file = str_replace('var:', '/usr/share/lizmap/lizmap/var/', $log['database']);
    $database = new PDO("sqlite:{$file}", options: [PDO::ATTR_TIMEOUT => 10]);
    $oldest = "datetime('now', '-".DAYS." days')";
}
$database->exec(
    "DELETE FROM log_detail WHERE log_timestamp < {$oldest} OR id <= (SELECT max(id) FROM log_detail) - ".MOST_ROWS
);
if ($log['driver'] !== 'pgsql') {
    $number = fn (string $name): int => (int) $database->query("PRAGMA {$name}")->fetchColumn();
    if ($number('freelist_count') * $number('page_size') > EMPTY_BYTES) {
        $database->exec('VACUUM');
    }
}
