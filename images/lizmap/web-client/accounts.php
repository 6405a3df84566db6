<?php

// What Poppyfield's modules know of Lizmap's users, groups, rights and repositories goes through here. Reads one JSON
// document from standard input, so that no password is ever in the list of processes, and prints another one:
//
//   {"passwords": {LOGIN: PASSWORD, ...}, "edits": [EDIT, ...]}   ->   {"state": {...}, "failed": null}
//
// The edits (see accounts_edits.php) are made in their order. The first that fails ends them, and "failed" then says
// its number and what Lizmap said. The state is what there is after them (see accounts_state.php).

error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
ini_set('display_errors', 'stderr');
// An error tells where it happened, not the arguments, among which are passwords.
ini_set('zend.exception_ignore_args', '1');
set_exception_handler(function (Throwable $error): void {
    fwrite(STDERR, $error->getMessage()."\n");

    exit(1);
});

const LIZMAP = '/usr/share/lizmap/lizmap';
const CONFIG = LIZMAP.'/var/config';

require __DIR__.'/accounts_state.php';

require __DIR__.'/accounts_edits.php';

$request = json_decode((string) stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
$failed = make_edits($request['edits']);
$state = read_state($request['passwords']);
echo json_encode(['state' => $state, 'failed' => $failed], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
