;<?php exit(''); ?>
; Stand-in for Lizmap Web Client, for tests: the settings that hold when no other file has them.

[minimumRequiredVersion]
qgisServer="3.34"
lizmapServerPlugin="2.13.0"

[qgisWrapper]
allowFcgi=off

[sessions]
cookieSecure=off
cookieHttpOnly=on
cookieSameSite=

[modules]
jelix.installparam[wwwfiles]=copy
jcommunity.installparam[defaultuser]=on
