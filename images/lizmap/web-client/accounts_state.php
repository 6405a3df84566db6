<?php

// What there is in Lizmap: read from its tables and its configuration, without starting Lizmap, which takes a second on
// a Pi. The tables are the same in SQLite and in PostgreSQL.

// With Lizmap's own configuration, so that an upgrade or a backup takes it along.
const OURS = CONFIG.'/made-by-poppyfield.json';

/** Everything that Poppyfield's modules compare; of the passwords, whether each is the one of its user. */
function read_state(array $passwords): array
{
    $database = connect_as_lizmap('jauth');
    $users = [];
    foreach ($database->query('SELECT usr_login, usr_email, usr_password, status FROM jlx_user') as $row) {
        $login = $row['usr_login'];
        $users[$login] = [
            'email' => (string) $row['usr_email'],
            'status' => (int) $row['status'],
            'password_matches' => password_is($passwords[$login] ?? null, (string) $row['usr_password']),
        ];
    }
    $database = connect_as_lizmap('jacl2_profile');
    // Also of names that have no account: Lizmap's installer puts "admin" into "admins" whether it is made or not.
    $members = [];
    foreach ($database->query('SELECT login, id_aclgrp FROM jacl2_user_group') as $row) {
        $members[] = [$row['login'], $row['id_aclgrp']];
    }
    $groups = [];
    foreach ($database->query('SELECT id_aclgrp, name, grouptype FROM jacl2_group') as $row) {
        $groups[$row['id_aclgrp']] = ['name' => $row['name'], 'type' => (int) $row['grouptype']];
    }
    $rights = [];
    foreach ($database->query('SELECT id_aclgrp, id_aclsbj, id_aclres, canceled FROM jacl2_rights') as $row) {
        $rights[] = [$row['id_aclgrp'], $row['id_aclsbj'], $row['id_aclres'], (bool) $row['canceled']];
    }

    return [
        'users' => (object) $users,
        'groups' => (object) $groups,
        'members' => $members,
        'rights' => $rights,
        'known_rights' => $database->query('SELECT id_aclsbj FROM jacl2_subject')->fetchAll(PDO::FETCH_COLUMN),
        'repositories' => (object) read_repositories(),
        'ours' => read_ours(),
    ];
}

/** Compares as Lizmap's login does; null without a password. */
function password_is(?string $password, string $hash): ?bool
{
    return $password === null ? null : str_starts_with($hash, '$') && password_verify($password, $hash);
}

/** The sections [repository:KEY] of Lizmap's configuration. */
function read_repositories(): array
{
    $repositories = [];
    $sections = parse_ini_file(CONFIG.'/lizmapConfig.ini.php', true);
    if ($sections === false) {
        throw new RuntimeException('lizmapConfig.ini.php cannot be read.');
    }
    foreach ($sections as $name => $values) {
        if (str_starts_with($name, 'repository:')) {
            $themes = strtolower((string) ($values['allowUserDefinedThemes'] ?? ''));
            $repositories[substr($name, strlen('repository:'))] = [
                'label' => (string) ($values['label'] ?? ''),
                'path' => (string) ($values['path'] ?? ''),
                'allowUserDefinedThemes' => in_array($themes, ['true', 't', 'on', '1'], true),
                'accessControlAllowOrigin' => (string) ($values['accessControlAllowOrigin'] ?? ''),
                'iframeEmbedAllowOrigin' => (string) ($values['iframeEmbedAllowOrigin'] ?? ''),
            ];
        }
    }

    return $repositories;
}

/** The names of what Poppyfield made, by kind. */
function read_ours(): array
{
    $ours = is_file(OURS) ? json_decode((string) file_get_contents(OURS), true, 512, JSON_THROW_ON_ERROR) : [];

    return $ours + ['users' => [], 'groups' => [], 'repositories' => []];
}

/** Connects to the database of a profile of Lizmap, as Lizmap does. */
function connect_as_lizmap(string $name): PDO
{
    $profiles = parse_ini_file(CONFIG.'/profiles.ini.php', true, INI_SCANNER_TYPED);
    if ($profiles === false) {
        throw new RuntimeException('profiles.ini.php cannot be read.');
    }
    $profile = $profiles["jdb:{$name}"] ?? $profiles['jdb:'.($profiles['jdb'][$name] ?? '')] ?? null;
    $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC];
    switch ($profile['driver'] ?? '') {
        case 'sqlite3':
            $file = preg_replace('/^var:/', LIZMAP.'/var/', $profile['database']);
            if (!is_file($file)) {
                throw new RuntimeException("{$file} does not exist: Lizmap is not installed yet.");
            }

            // Seconds to wait while somebody else writes.
            return new PDO("sqlite:{$file}", null, null, $options + [PDO::ATTR_TIMEOUT => 30]);

        case 'pgsql':
            $keys = ['service' => 'service', 'host' => 'host', 'port' => 'port', 'dbname' => 'database'];
            $words = [];
            foreach ($keys as $word => $key) {
                if (($profile[$key] ?? '') !== '') {
                    $words[] = "{$word}={$profile[$key]}";
                }
            }
            $user = $profile['user'] ?? null;
            $password = $profile['password'] ?? null;
            $database = new PDO('pgsql:'.implode(';', $words), $user, $password, $options);
            if (trim($profile['search_path'] ?? '') !== '') {
                $database->exec("SET search_path TO {$profile['search_path']}");
            }

            return $database;

        default:
            throw new RuntimeException("profiles.ini.php has no profile {$name} for SQLite or PostgreSQL.");
    }
}
