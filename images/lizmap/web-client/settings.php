<?php

// Writes the settings that this container needs into Lizmap's configuration, and leaves all others as they are:
// Lizmap's administrators change the same files, and repositories are in one of them.

require '/usr/share/lizmap/lizmap/vendor/autoload.php';

use Jelix\IniFile\IniModifier;

$settings = [
    'lizmapConfig.ini.php' => [
        ['hideSensitiveServicesProperties', '1', 0],
        ['wmsServerURL', 'http://127.0.0.1:8081/ows/', 'services'],
        ['lizmapPluginAPIURL', '', 'services'],
        ['rootRepositories', '/srv/projects', 'services'],
        // Paths of projects relative to /srv/projects, which is the working folder of QGIS Server.
        ['relativeWMSPath', '1', 'services'],
        ['cacheStorageType', 'file', 'services'],
        ['cacheRootDirectory', '/srv/lizmap/cache/', 'services'],
    ],
    'localconfig.ini.php' => [
        // QGIS Server is plain FastCGI here.
        ['allowFcgi', 'on', 'qgisWrapper'],
        // Without "defaultuser" the installer would create the account admin/admin. The four belong together.
        ['jcommunity.installparam', 'on', 'modules', 'manualconfig'],
        ['jcommunity.installparam', 'off', 'modules', 'masteradmin'],
        ['jcommunity.installparam', 'off', 'modules', 'defaultuser'],
        ['jcommunity.installparam', '[index,admin]', 'modules', 'eps'],
    ],
    // Accounts and logs are in SQLite, as this file says from the start.
    'profiles.ini.php' => [],
];

foreach ($settings as $name => $values) {
    $file = '/srv/lizmap/lizmap/var/config/'.$name;
    if (!file_exists($file)) {
        copy($file.'.dist', $file);
    }
    $ini = new IniModifier($file);
    foreach ($values as $value) {
        $ini->setValue(...$value);
    }
    $ini->save();
}
