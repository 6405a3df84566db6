<?php

// Says which version of its project and data a map shows: nginx asks before it hands out a picture that it has kept, see
// nginx/map-page-pictures.conf. The answer is a word that is never the same for two states, or none, when that cannot be
// known: then the picture is drawn again. Asked by HTTP on a socket of nginx's user, it answers one question at a time.
//
// What makes a version is read again for each question, but for the files, which are looked at twice a second:
//
//   files     name, number, size and times of everything in the folder of the projects. A file that was written a moment
//             ago has none, because it could be written again within one tick of its clock.
//   database  which transactions are done, by pg_current_snapshot(): each that wrote anything, whoever made it and
//             wherever in the cluster, changes that, the moment it is seen. After a crash PostgreSQL may count some of them
//             again; its checkpoint differs then. Nothing is installed in people's databases for that.
//
// A project has a version only where nothing else can change its map: each layer is a table or view of our own database,
// or a file in the folder of the projects. What a view or an expression says of the time of day is no part of it, so nginx
// keeps no picture for longer than a minute.

namespace Poppyfield;

const SOCKET = '/run/map-version.sock';
const PROJECTS = '/srv/projects';
// While layers are left out, workers differ in what they draw, and for a while after: see ../left-out.
const LEFT_OUT = '/run/poppyfield/left-out';
const LEFT_OUT_SECONDS = 40;
const STARTING_SECONDS = 10;
const LOOK_SECONDS = 0.4;
const RECENT_SECONDS = 2;
const MOST_FILES = 2000;
const LARGEST_PROJECT = 16 * 1024 * 1024;
// nginx waits a second for an answer.
const DATABASE_SECONDS = 0.7;
const REST_SECONDS = 2;

// Formats that name no other file or server. Files that belong to them lie beside them.
const FORMATS = '/\.(gpkg|geojson|json|shp|fgb|csv|tiff?|png|jpe?g|mbtiles|asc)$/i';
// What an expression gives without the data: the time, chance, and other places.
const FICKLE = '/\b(now|rand|randf|uuid|env|file_\w+|exif|load_layer|raster_value)\s*\(|\$now\b|@map_(start|end)_time/i';
const QUESTION = 'SELECT pg_current_snapshot(), pg_postmaster_start_time(), checkpoint_lsn, timeline_id, system_identifier,'
    .' current_database() FROM pg_control_checkpoint(), pg_control_system()'
    // What these show changes elsewhere.
    .' WHERE NOT EXISTS (SELECT FROM pg_foreign_table)';

/** The state of everything in the folder of the projects, or nothing while it changes. */
function files(): string
{
    $entries = new \RecursiveIteratorIterator(
        new \RecursiveDirectoryIterator(
            PROJECTS,
            \FilesystemIterator::SKIP_DOTS | \FilesystemIterator::FOLLOW_SYMLINKS | \FilesystemIterator::CURRENT_AS_PATHNAME
        ),
        \RecursiveIteratorIterator::SELF_FIRST
    );
    clearstatcache();
    $recent = time() - RECENT_SECONDS;
    $states = [];
    foreach ($entries as $path) {
        $state = stat($path);
        if ($state === false || $state['ctime'] >= $recent || count($states) >= MOST_FILES) {
            return '';
        }
        $states[] = "{$path} {$state['ino']} {$state['mode']} {$state['size']} {$state['mtime']} {$state['ctime']}";
    }
    sort($states);

    return md5(implode("\n", $states));
}

/** A project as QGIS saves it, also out of an archive; nothing where it cannot be read. */
function text(string $path): string
{
    if (!is_file($path) || filesize($path) > LARGEST_PROJECT) {
        return '';
    }
    if (!str_ends_with($path, '.qgz')) {
        return (string) file_get_contents($path);
    }
    // PHP would remember an archive by its name, also after another is in its place.
    $copy = '/tmp/php/'.bin2hex(random_bytes(8)).'.zip';
    try {
        copy($path, $copy);
        foreach (new \PharData($copy) as $entry) {
            if (str_ends_with($entry->getFilename(), '.qgs') && $entry->getSize() <= LARGEST_PROJECT) {
                return (string) file_get_contents($entry->getPathname());
            }
        }
    } finally {
        @unlink($copy);
    }

    return '';
}

/** What a project shows: 'files', 'database' where a layer is there, or nothing where its map can change otherwise. */
function kind(string $project, string $text): string
{
    $layers = array_slice(explode('<maplayer ', $text), 1);
    // What forms fill in is not on the map.
    if (!$layers || preg_match(FICKLE, (string) preg_replace('/<(default|constraint)\b[^>]*>/', '', $text))) {
        return '';
    }
    $kind = 'files';
    foreach ($layers as $layer) {
        preg_match('/<provider\b[^>]*>([^<]*)</', $layer, $provider);
        preg_match('/<datasource>([^<]*)</', $layer, $source);
        $source = html_entity_decode($source[1] ?? '', ENT_QUOTES | ENT_XML1);
        if (($provider[1] ?? '') === 'postgres') {
            if (!preg_match("/(^|\s)service='?poppyfield'?(\s|$)/", $source) || preg_match('/\b(host|dbname)\s*=/', $source)) {
                return '';
            }
            $kind = 'database';
        } elseif (!in_array($provider[1] ?? '', ['ogr', 'gdal'], true) || !is_in_projects($project, $source)) {
            return '';
        }
    }

    return $kind;
}

/** Whether a source of data is one file in the folder of the projects. */
function is_in_projects(string $project, string $source): bool
{
    $name = explode('|', $source)[0];
    $path = realpath(str_starts_with($name, '/') ? $name : dirname($project).'/'.$name);

    return $path !== false && is_file($path) && str_starts_with($path, PROJECTS.'/') && preg_match(FORMATS, $path);
}

/** The projects by their id in the catalogue, each with its kind. */
function kinds(): array
{
    $kinds = [];
    foreach (glob(PROJECTS.'/*/*.{qgs,qgz}', GLOB_BRACE) ?: [] as $path) {
        try {
            $kinds[md5($path)] = kind($path, text($path));
        } catch (\Throwable) {
            // QGIS Server says what is wrong with it.
        }
    }

    return $kinds;
}

class Database
{
    private ?\PgSql\Connection $connection = null;
    private float $rests_until = 0;

    /** Which transactions are done, or nothing when the database does not say so at once. */
    public function version(): string
    {
        if (!$this->connection && microtime(true) < $this->rests_until) {
            return '';
        }
        $row = $this->ask() ?? $this->ask();
        if ($row === null) {
            $this->rests_until = microtime(true) + REST_SECONDS;
        }

        return implode(' ', $row ?: []);
    }

    /** What it answers, an empty row where there is none; nothing when it does not answer. */
    private function ask(): ?array
    {
        $this->connection ??= @pg_connect('service=poppyfield connect_timeout=2', PGSQL_CONNECT_FORCE_NEW) ?: null;
        if (!$this->connection || !@pg_send_query($this->connection, QUESTION)) {
            return $this->forget();
        }
        $sockets = [pg_socket($this->connection)];
        $none = null;
        $until = microtime(true) + DATABASE_SECONDS;
        while (@pg_connection_busy($this->connection)) {
            $left = $until - microtime(true);
            if ($left <= 0 || !stream_select($sockets, $none, $none, 0, (int) ($left * 1e6))) {
                return $this->forget();
            }
            $sockets = [pg_socket($this->connection)];
        }
        $result = pg_get_result($this->connection);
        if (!$result || pg_result_status($result) !== PGSQL_TUPLES_OK) {
            return $this->forget();
        }
        $row = pg_fetch_row($result) ?: [];
        while (pg_get_result($this->connection)) {
        }

        return $row;
    }

    private function forget(): null
    {
        if ($this->connection) {
            @pg_close($this->connection);
        }
        $this->connection = null;

        return null;
    }
}

class Versions
{
    private Database $database;
    private string $files = '';
    private string $known_files = '';
    private array $kinds = [];
    private float $looked = -INF;
    private int $began;

    public function __construct()
    {
        $this->database = new Database();
        $this->began = time();
    }

    public function of(string $id): string
    {
        if ($this->leaves_out()) {
            return '';
        }
        $now = hrtime(true) / 1e9;
        if ($now - $this->looked >= LOOK_SECONDS) {
            $this->looked = $now;
            $this->files = '';
            $this->files = files();
        }
        if ($this->files !== '' && $this->files !== $this->known_files) {
            $this->kinds = kinds();
            $this->known_files = $this->files;
            // They may have changed since.
            $this->files = files() === $this->known_files ? $this->known_files : '';
        }
        $kind = $this->kinds[$id] ?? '';
        if ($this->files === '' || $kind === '') {
            return '';
        }
        $database = $kind === 'database' ? $this->database->version() : '';

        return $kind === 'database' && $database === '' ? '' : md5("{$this->files} {$database}");
    }

    private function leaves_out(): bool
    {
        clearstatcache(true, LEFT_OUT);
        $state = @stat(LEFT_OUT);

        return !$state || $state['size'] > 0
            || ($state['mtime'] > $this->began + STARTING_SECONDS && time() - $state['mtime'] < LEFT_OUT_SECONDS);
    }
}

putenv('PGSERVICEFILE=/run/poppyfield/pg_service.conf');
umask(0077);
$server = stream_socket_server('unix://'.SOCKET) ?: exit(1);
$versions = new Versions();
while (true) {
    $client = @stream_socket_accept($server, -1);
    if (!$client) {
        continue;
    }
    stream_set_timeout($client, 1);
    $id = '';
    while (($line = fgets($client, 1024)) !== false && trim($line) !== '') {
        if (preg_match('/^X-Project: ([0-9a-f]{32})\r?$/', $line, $found)) {
            $id = $found[1];
        }
    }
    try {
        $version = $id === '' ? '' : $versions->of($id);
    } catch (\Throwable $error) {
        error_log("map-version: {$error->getMessage()}");
        $version = '';
    }
    @fwrite($client, "HTTP/1.0 204 No Content\r\n".($version === '' ? '' : "X-Map-Version: {$version}\r\n")."\r\n");
    fclose($client);
}
