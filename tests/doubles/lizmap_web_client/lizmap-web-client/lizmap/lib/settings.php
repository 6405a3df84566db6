<?php

// Stand-in for Lizmap Web Client, for tests: where things are, and its settings.

namespace StandIn;

const LIZMAP = __DIR__.'/..';
const CONFIG = LIZMAP.'/var/config';

function version(): string
{
    return (string) simplexml_load_file(LIZMAP.'/project.xml')->info->version;
}

/** The version that the installer has set up; empty before. */
function installed_version(): string
{
    $file = CONFIG.'/installer.ini.php';

    return is_file($file) ? parse_ini_file($file, true)['modules']['lizmap.version'] : '';
}

/** Whether this is the first version, which lacks what the second one brought; all that come later have it. */
function is_first(string $version): bool
{
    return str_ends_with($version, '-double.1');
}

/** Whether the installer has made what this version needs in its settings. */
function is_set_up(): bool
{
    return installed_version() !== '' && (is_first(version()) || isset(profiles()['jcache:requests']));
}

/** The settings of all sections; of the same setting that in the last file holds. */
function settings(): array
{
    $all = [];
    foreach ([LIZMAP.'/app/system/mainconfig', CONFIG.'/localconfig', CONFIG.'/liveconfig'] as $file) {
        if (is_file("{$file}.ini.php")) {
            $all = array_replace_recursive($all, parse_ini_file("{$file}.ini.php", true, INI_SCANNER_TYPED));
        }
    }

    return $all;
}

/** What lizmapConfig.ini.php has: read at each request. */
function lizmap_config(): array
{
    return parse_ini_file(CONFIG.'/lizmapConfig.ini.php', true);
}

/** A profile of a database. */
function profile(string $name): array
{
    $profiles = profiles();

    return $profiles["jdb:{$name}"] ?? $profiles['jdb:'.$profiles['jdb'][$name]];
}

/** All profiles. What was read is read again only when the file is newer, as Jelix does. */
function profiles(): array
{
    $file = CONFIG.'/profiles.ini.php';
    $read = \jApp::tempPath().'profiles.json';
    if (!is_file($read) || filemtime($read) < filemtime($file)) {
        $profiles = parse_ini_file($file, true, INI_SCANNER_TYPED);
        file_put_contents($read, json_encode($profiles, JSON_THROW_ON_ERROR), LOCK_EX);
    }

    return json_decode(file_get_contents($read), true, 512, JSON_THROW_ON_ERROR);
}
