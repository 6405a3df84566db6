<?php

// Stand-in for Lizmap Web Client, for tests: installs it, or upgrades what an older version has left.

require __DIR__.'/../application.init.php';

try {
    StandIn\install();
} catch (Throwable $error) {
    fwrite(STDERR, "The stand-in cannot be installed: {$error->getMessage()}\n");

    exit(1);
}
echo 'The stand-in for Lizmap Web Client is installed: '.StandIn\version()."\n";
