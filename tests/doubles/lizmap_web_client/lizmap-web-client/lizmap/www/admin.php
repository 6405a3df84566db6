<?php

// Stand-in for Lizmap Web Client, for tests.

require __DIR__.'/../application.init.php';

require __DIR__.'/../lib/pages.php';

StandIn\answer('admin', $_SERVER['PATH_INFO'] ?? '');
