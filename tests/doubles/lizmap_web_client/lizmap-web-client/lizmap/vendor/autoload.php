<?php

// Stand-in for Lizmap Web Client, for tests: as much of the libraries in its archive as Poppyfield touches.

require_once __DIR__.'/ini_modifier.php';

require_once __DIR__.'/symfony_console.php';

require_once __DIR__.'/jelix.php';
