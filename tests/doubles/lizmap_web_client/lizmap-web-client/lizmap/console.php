<?php

// Stand-in for Lizmap Web Client, for tests: runs the command that the arguments name.

require __DIR__.'/application.init.php';

jApp::setConfig(jConfigCompiler::read('index/config.ini.php', true, true, 'console.php'));
jApp::setCoord(new jCoordinator());
$application = new Symfony\Component\Console\Application();
foreach (jApp::getEnabledModulesPaths() as $path) {
    if (is_file("{$path}commands.php")) {
        require "{$path}commands.php";
    }
}
$application->run();
