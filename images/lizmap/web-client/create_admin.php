<?php

// Creates the first administrator. The password comes from a file and is handed over inside this process: an argument
// of a command could be read in the list of processes.

$password = trim((string) @file_get_contents('/run/secrets/lizmap_admin_password'));
if ($password === '') {
    fwrite(STDERR, "configure: /run/secrets/lizmap_admin_password is missing, empty or not readable.\n");

    exit(1);
}

$argv = [
    'console.php',
    'jcommunity:user:create',
    '--admin',
    getenv('LIZMAP_ADMIN_LOGIN'),
    getenv('LIZMAP_ADMIN_EMAIL'),
    $password,
];
$argc = count($argv);
$_SERVER['argv'] = $argv;
$_SERVER['argc'] = $argc;

require '/usr/share/lizmap/lizmap/console.php';
