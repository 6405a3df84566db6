<?php

// Stand-in for Lizmap Web Client, for tests: what each of its scripts begins with.

require __DIR__.'/vendor/autoload.php';

$temp = realpath(__DIR__.'/../temp/lizmap');
if ($temp === false) {
    throw new RuntimeException('temp/lizmap is missing.');
}
jApp::$temp = $temp.'/';

foreach (['settings', 'database', 'accounts', 'repositories'] as $part) {
    require_once __DIR__."/lib/{$part}.php";
}
