<?php

// Says which version of its project and data a picture shows: nginx asks before it hands out a picture that it has kept, see
// nginx/map-page-pictures.conf. The answer is a word that is never the same for two states, or none, when that cannot be
// known: then the picture is drawn again. Asked by HTTP on a socket, it answers one question at a time.
//
// What makes a version is read again for each question, but for the files, which are looked at twice a second:
//
//   files     name, number, size and times of everything in the folder of the projects. A file that was written a moment
//             ago has none, because it could be written again within one tick of its clock.
//   database  of the tables that the picture's layers show, where PostgreSQL's log was written for them last: read from
//             there on each time that a transaction is done, whoever made it. While one that wrote into them is open,
//             and where more than tables can change the picture, it is which transactions are done, by
//             pg_current_snapshot(): that changes with each. After a crash PostgreSQL may count some of them again; its
//             checkpoint differs then. Nothing is installed in people's databases for that.
//
// A project has a version only where nothing else can change its map: each layer is a table or view of our own database,
// or a file in the folder of the projects. What a view or an expression says of the time of day is no part of it, so such a
// version lasts a minute.
//
// The map page asks, too: which layers are being edited, so that it asks for them in a picture of their own, and the rest
// is not drawn again with each change.

namespace Poppyfield;

require __DIR__.'/projects.php';
require __DIR__.'/database.php';

const SOCKET = '/run/map-version.sock';
// While layers are left out, workers differ in what they draw, and for a while after: see ../left-out.
const LEFT_OUT = '/run/poppyfield/left-out';
const LEFT_OUT_SECONDS = 40;
const STARTING_SECONDS = 10;
const LOOK_SECONDS = 0.4;
const RECENT_SECONDS = 2;
const MOST_FILES = 2000;
const UNSTEADY_SECONDS = 60;

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

class Versions
{
    private Database $database;
    private string $files = '';
    private string $known_files = '';
    /** @var Project[] */
    private array $projects = [];
    private float $looked = -INF;
    private int $began;

    public function __construct()
    {
        $this->database = new Database();
        $this->began = time();
    }

    /** The version of a picture of these layers of a project, or nothing. */
    public function of(string $id, string $names): string
    {
        $project = $this->leavesOut() ? null : $this->project($id);
        if (!$project || $this->files === '') {
            return '';
        }
        $layers = array_filter($project->layersOf($names), fn (Layer $layer) => $layer->inDatabase);
        if (!$layers) {
            return md5($this->files);
        }
        $tables = array_map(fn (Layer $layer) => $layer->table, $layers);
        $state = $this->database->state(in_array(null, $tables, true) ? null : $tables);
        if ($state === null) {
            return '';
        }
        $minute = $state->isSteady ? '' : intdiv((int) seconds(), UNSTEADY_SECONDS);

        return md5("{$this->files} {$state->words} {$minute}");
    }

    /** What the map page has to know of a project's layers, by their names, to ask for them in more than one picture. */
    public function layers(string $id): array
    {
        $project = $this->project($id);
        if (!$project || $project->isOnePicture || array_filter($project->layers, fn (Layer $layer) => $layer->blends)) {
            return [];
        }
        $tables = array_filter(array_map(fn (Layer $layer) => $layer->table, $project->layers));
        $this->database->state($tables);
        $told = [];
        foreach ($project->layers as $layer) {
            $told[$layer->name] = [
                'edited' => $layer->table !== null && $this->database->isEdited($layer->table),
                'covers' => $layer->covers,
                'labelled' => $layer->isLabelled,
            ];
        }

        return $told;
    }

    private function project(string $id): ?Project
    {
        if (seconds() - $this->looked >= LOOK_SECONDS) {
            $this->looked = seconds();
            $this->files = '';
            $this->files = files();
        }
        if ($this->files !== '' && $this->files !== $this->known_files) {
            $this->projects = projects();
            $this->known_files = $this->files;
            // They may have changed since.
            $this->files = files() === $this->known_files ? $this->known_files : '';
        }

        return $this->projects[$id] ?? null;
    }

    private function leavesOut(): bool
    {
        clearstatcache(true, LEFT_OUT);
        $state = @stat(LEFT_OUT);

        return !$state || $state['size'] > 0
            || ($state['mtime'] > $this->began + STARTING_SECONDS && time() - $state['mtime'] < LEFT_OUT_SECONDS);
    }
}

/** The answer to a question: its headers and body. */
function answer(Versions $versions, string $path, array $headers): string
{
    $id = $headers['x-project'] ?? '';
    if ($path === '/layers') {
        return "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
            .json_encode(['layers' => (object) $versions->layers($id)], JSON_INVALID_UTF8_SUBSTITUTE);
    }
    $version = $id === '' ? '' : $versions->of($id, urldecode($headers['x-layers'] ?? ''));

    return "HTTP/1.0 204 No Content\r\n".($version === '' ? '' : "X-Map-Version: {$version}\r\n")."\r\n";
}

/** Read the path of a request, and its headers. */
function question($client): array
{
    $path = explode(' ', (string) fgets($client, 1024))[1] ?? '';
    $headers = [];
    while (($line = fgets($client, 65536)) !== false && trim($line) !== '') {
        [$name, $value] = explode(':', $line, 2) + ['', ''];
        $headers[strtolower($name)] = trim($value);
    }

    return [$path, $headers];
}

putenv('PGSERVICEFILE=/run/poppyfield/pg_service.conf');
umask(0077);
$server = stream_socket_server('unix://'.SOCKET) ?: exit(1);
// nginx is in the group.
chmod(SOCKET, 0660);
$versions = new Versions();
while (true) {
    $client = @stream_socket_accept($server, -1);
    if (!$client) {
        continue;
    }
    stream_set_timeout($client, 1);
    try {
        $answer = answer($versions, ...question($client));
    } catch (\Throwable $error) {
        error_log("map-version: {$error->getMessage()}");
        $answer = "HTTP/1.0 204 No Content\r\n\r\n";
    }
    @fwrite($client, $answer);
    fclose($client);
}
