<?php

// Writes settings into Lizmap's files, and leaves all others as they are: Lizmap's administrators change the same
// files, and repositories are in one of them. Two kinds are written:
//
// - those that this container depends on, in own-settings.json, and where accounts are. Of these
//   "jcommunity.installparam" keeps the installer from creating the account admin/admin, "jelix.installparam" from
//   copying files that the image has already, "relativeWMSPath" makes paths of projects relative to /srv/projects, the
//   working folder of QGIS Server, and "allowFcgi" says that it is plain FastCGI.
// - those of the operator, in /run/secrets/lizmap_settings: {FILE: {SECTION: {NAME: VALUE}}}. One that is no longer
//   there gets the value from before.
//
//   settings.php SCHEMA    SCHEMA is that of the accounts, when they are in PostgreSQL

require '/usr/share/lizmap/lizmap/vendor/autoload.php';

use Jelix\IniFile\IniModifier;

const FOLDER = '/usr/share/lizmap/lizmap/var/config/';
const RECORD = FOLDER.'poppyfield-settings.json';

/** The profiles of the databases that Lizmap keeps accounts and logs in. */
function account_profiles(string $accounts, string $schema): array
{
    $databases = ['jauth' => 'jauth.db', 'lizlog' => 'logs.db'];
    $profiles = [];
    foreach ($databases as $name => $file) {
        $profiles["jdb:{$name}"] = $accounts === 'postgis'
            ? ['driver' => 'pgsql', 'service' => 'lizmap', 'database' => 'lizmap', 'search_path' => $schema]
            : ['driver' => 'sqlite3', 'database' => "var:db/{$file}", 'busytimeout' => '10000'];
    }

    return $profiles;
}

/** Turns {FILE: {SECTION: {NAME: VALUE}}} into a list of [[FILE, SECTION, NAME], VALUE], by a text as the key. */
function flat(array $settings): array
{
    $flat = [];
    foreach ($settings as $file => $sections) {
        foreach ($sections as $section => $values) {
            foreach ($values as $name => $value) {
                $flat["{$file} [{$section}] {$name}"] = [[$file, $section, $name], $value];
            }
        }
    }

    return $flat;
}

function path_of(string $file): string
{
    return FOLDER.$file.'.ini.php';
}

/** IniModifier has the settings above the first section in section 0. */
function section_of(string $name): int|string
{
    return $name === 'global' ? 0 : $name;
}

/** Replaces a file by one that is written already: whoever reads it finds the old one or the new one. */
function put(string $written, string $file): void
{
    if (is_file($file) && file_get_contents($written) === file_get_contents($file)) {
        unlink($written);

        return;
    }
    $stream = fopen($written, 'r+');
    fsync($stream);
    fclose($stream);
    rename($written, $file);
}

function record(array $before): void
{
    $text = json_encode($before, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES);
    if (is_file(RECORD) && file_get_contents(RECORD) === $text) {
        return;
    }
    // A disk that is full takes a part of it, or nothing.
    if (file_put_contents(RECORD.'.partial', $text) !== strlen($text)) {
        fwrite(STDERR, 'configure: '.RECORD." cannot be written.\n");

        exit(1);
    }
    put(RECORD.'.partial', RECORD);
}

function read_json(string $file): array
{
    return is_file($file) ? json_decode(file_get_contents($file), true, flags: JSON_THROW_ON_ERROR) : [];
}

$accounts = getenv('LIZMAP_ACCOUNTS');
$own = flat(read_json(__DIR__.'/own-settings.json'))
    + flat(['profiles' => account_profiles($accounts, $argv[1])]);
$wanted = flat(read_json('/run/secrets/lizmap_settings'));
$before = read_json(RECORD);

$ini = [];
foreach (['lizmapConfig', 'localconfig', 'liveconfig', 'profiles'] as $file) {
    $path = path_of($file);
    if (!is_file($path) && is_file($path.'.dist')) {
        copy($path.'.dist', $path.'.partial');
        put($path.'.partial', $path);
    } elseif ($file === 'profiles') {
        $old = (new IniModifier($path))->getValue('driver', 'jdb:jauth');
        if (($old === 'pgsql') !== ($accounts === 'postgis')) {
            fwrite(STDERR, 'configure: the accounts of this Lizmap are in '.($old === 'pgsql' ? 'PostGIS' : 'SQLite')
                .", and they cannot move: set lizmap_accounts back.\n");

            exit(1);
        }
    }
    $ini[$file] = new IniModifier($path, ";<?php die(''); ?>\n");
}

// Known before anything is changed, in case this is cut short.
foreach (array_diff_key($wanted, $before) as $key => [[$file, $section, $name]]) {
    $before[$key] = [[$file, $section, $name], $ini[$file]->getValue($name, section_of($section))];
}
record($before);

foreach (array_diff_key($before, $wanted) as [[$file, $section, $name], $value]) {
    if ($value === null) {
        $ini[$file]->removeValue($name, section_of($section), null, false);
    } else {
        $ini[$file]->setValue($name, $value, section_of($section));
    }
}
foreach ([...$wanted, ...$own] as [[$file, $section, $name], $value]) {
    $ini[$file]->setValue($name, $value, section_of($section));
    if ($file === 'localconfig') {
        // Overrides localconfig, and is where the administration pages write.
        $ini['liveconfig']->removeValue($name, section_of($section), null, false);
    }
}
foreach ($ini as $file => $changed) {
    if ($changed->isModified()) {
        $changed->saveAs(path_of($file).'.partial');
        put(path_of($file).'.partial', path_of($file));
    }
}
record(array_intersect_key($before, $wanted));
