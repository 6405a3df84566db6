<?php

// Stand-in for Lizmap Web Client, for tests: its databases, and how they are installed.

namespace StandIn;

use Jelix\IniFile\IniModifier;

const TABLES = [
    'jauth' => [
        'jlx_user (usr_login varchar(255) PRIMARY KEY, usr_email varchar(255) NOT NULL, usr_password varchar(120),
            status integer)',
    ],
    'jacl2_profile' => [
        "jacl2_group (id_aclgrp varchar(60) PRIMARY KEY, name varchar(150) NOT NULL, grouptype integer NOT NULL,
            ownerlogin varchar(50))",
        'jacl2_user_group (login varchar(50), id_aclgrp varchar(60), PRIMARY KEY (login, id_aclgrp))',
        'jacl2_subject (id_aclsbj varchar(100) PRIMARY KEY)',
        "jacl2_rights (id_aclsbj varchar(100), id_aclgrp varchar(60), id_aclres varchar(100) DEFAULT '-',
            canceled integer NOT NULL DEFAULT 0, PRIMARY KEY (id_aclsbj, id_aclgrp, id_aclres))",
    ],
    'lizlog' => [
        'log_detail (id NUMBERED PRIMARY KEY, log_user varchar(100),
            log_timestamp timestamp DEFAULT CURRENT_TIMESTAMP)',
    ],
];
const ADMIN_RIGHTS = [
    'acl.group.create', 'acl.group.delete', 'acl.group.modify', 'acl.group.view', 'acl.user.modify', 'acl.user.view',
    'auth.user.change.password', 'auth.user.modify', 'auth.user.view',
    'auth.users.change.password', 'auth.users.create', 'auth.users.delete', 'auth.users.list', 'auth.users.modify',
    'auth.users.view',
    'lizmap.admin.access', 'lizmap.admin.home.page.update', 'lizmap.admin.lizmap.log.delete',
    'lizmap.admin.lizmap.log.view', 'lizmap.admin.project.list.view', 'lizmap.admin.repositories.create',
    'lizmap.admin.repositories.delete', 'lizmap.admin.repositories.update', 'lizmap.admin.repositories.view',
    'lizmap.admin.server.information.view', 'lizmap.admin.services.update', 'lizmap.admin.services.view',
    'lizmap.admin.theme.update', 'lizmap.admin.theme.view',
];
const MAP_RIGHTS = [
    'lizmap.repositories.view', 'lizmap.tools.displayGetCapabilitiesLinks', 'lizmap.tools.edition.use',
    'lizmap.tools.layer.export', 'lizmap.tools.loginFilteredLayers.override',
];

/** Connects to the database of a profile, once. */
function database(string $profile): \PDO
{
    static $connections = [];
    if (isset($connections[$profile])) {
        return $connections[$profile];
    }
    $is = profile($profile);
    $options = [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION, \PDO::ATTR_DEFAULT_FETCH_MODE => \PDO::FETCH_ASSOC];
    if ($is['driver'] === 'sqlite3') {
        $file = preg_replace('/^var:/', LIZMAP.'/var/', $is['database']);
        $options[\PDO::ATTR_TIMEOUT] = (int) ceil(($is['busytimeout'] ?? 0) / 1000);
        $database = new \PDO("sqlite:{$file}", null, null, $options);
    } else {
        $database = new \PDO("pgsql:service={$is['service']};dbname={$is['database']}", null, null, $options);
        $database->exec("SET search_path TO {$is['search_path']}");
    }

    return $connections[$profile] = $database;
}

/** Runs a statement; gives its rows. */
function rows(string $profile, string $sql, array $values = []): array
{
    $statement = database($profile)->prepare($sql);
    $statement->execute($values);

    return $statement->fetchAll();
}

/** Installs, or brings what an older version has left up to date; again, it does nothing. */
function install(): void
{
    foreach (['db', 'log'] as $folder) {
        \jFile::createDir(LIZMAP."/var/{$folder}", '0775');
    }
    foreach (TABLES as $profile => $tables) {
        foreach ($tables as $table) {
            $numbered = profile($profile)['driver'] === 'sqlite3' ? 'integer' : 'serial';
            database($profile)->exec('CREATE TABLE IF NOT EXISTS '.str_replace('NUMBERED', $numbered, $table));
        }
    }
    if (!rows('jacl2_profile', 'SELECT 1 FROM jacl2_group')) {
        install_groups();
    }
    $before = installed_version();
    if (!is_first(version()) && ($before === '' || is_first($before))) {
        upgrade_to_the_second();
    }
    $parameters = settings()['modules'];
    if ($parameters['jcommunity.installparam']['defaultuser'] && !rows('jauth', 'SELECT 1 FROM jlx_user')) {
        create_user('admin', 'admin@localhost.localdomain', 'admin');
    }
    if ($parameters['jelix.installparam']['wwwfiles'] !== 'nosetup') {
        throw new \RuntimeException('www cannot be written to.');
    }
    write(CONFIG.'/installer.ini.php', "[modules]\nlizmap.version=\"".version()."\"\n");
    if (!is_file(CONFIG.'/liveconfig.ini.php')) {
        write(CONFIG.'/liveconfig.ini.php', '');
    }
}

/** What the second version brought, in a table and in the settings. It cannot be done twice, as in some releases. */
function upgrade_to_the_second(): void
{
    database('lizlog')->exec('ALTER TABLE log_detail ADD COLUMN log_ip varchar(40)');
    $profiles = new IniModifier(CONFIG.'/profiles.ini.php');
    $profiles->setValue('driver', 'file', 'jcache:requests');
    $profiles->saveAs(CONFIG.'/profiles.ini.php');
}

function install_groups(): void
{
    foreach ([...ADMIN_RIGHTS, ...MAP_RIGHTS] as $right) {
        rows('jacl2_profile', 'INSERT INTO jacl2_subject VALUES (?)', [$right]);
    }
    foreach (['__anonymous' => 'anonymous', 'admins' => 'admins', 'publishers' => 'Publishers'] as $group => $name) {
        create_group($group, $name, 0);
    }
    create_group('users', 'users', 1);
    // With or without an account of this name.
    create_group('__priv_admin', 'admin', 2, 'admin');
    add_member('admin', '__priv_admin');
    add_member('admin', 'admins');
    foreach (ADMIN_RIGHTS as $right) {
        give('admins', $right, '-');
    }
    foreach (['auth.user.change.password', 'auth.user.modify', 'auth.user.view'] as $right) {
        give('users', $right, '-');
    }
    foreach (['lizmap.admin.project.list.view', 'lizmap.admin.server.information.view'] as $right) {
        give('publishers', $right, '-');
    }
}

function write(string $file, string $settings): void
{
    if (@file_put_contents($file, ";<?php die(''); ?>\n{$settings}") === false) {
        throw new \RuntimeException("{$file} cannot be written.");
    }
}
