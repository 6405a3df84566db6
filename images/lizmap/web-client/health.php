<?php

// For the health check, which asks by nginx: whether PHP runs, and whether the database lets the projects' role in. Says
// "connected", or why not, in the words of PostgreSQL.

ini_set('html_errors', '0');
$connection = @pg_connect('service=poppyfield connect_timeout=10');
echo $connection ? 'connected' : preg_replace('/^.*?failed: */s', '', trim(error_get_last()['message'] ?? 'no reason given'));
