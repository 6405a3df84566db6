<?php

// Stand-in for Lizmap Web Client, for tests: how it asks QGIS Server.

namespace StandIn;

/** Asks QGIS Server: [status, type, body]; status 0 when there is no answer. */
function ask(string $url, array $headers = []): array
{
    $request = curl_init($url);
    curl_setopt_array($request, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => $headers]);
    $body = (string) curl_exec($request);
    $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);

    return [$status, curl_getinfo($request, CURLINFO_CONTENT_TYPE) ?: 'text/plain', $body];
}

/** Asks for a project of which browsers know the address $public. */
function ask_project(string $file, array $parameters, string $public): array
{
    $services = lizmap_config()['services'];
    $root = rtrim($services['rootRepositories'] ?? '', '/').'/';
    if (($services['relativeWMSPath'] ?? '') && str_starts_with($file, $root)) {
        $file = substr($file, strlen($root));
    }
    $url = $services['wmsServerURL'].'?'.http_build_query(['map' => $file] + $parameters);

    return ask($url, ["X-Qgis-Service-Url: {$public}"]);
}

/** What the plugin lizmap_server tells, or an error. */
function qgis_server_metadata(): array
{
    [$status, $type, $body] = ask(lizmap_config()['services']['wmsServerURL'].'lizmap/server.json');
    $told = $status === 200 && $type === 'application/json' ? json_decode($body, true)['qgis_server'] ?? null : null;

    return $told ?? ['error' => 'HTTP_ERROR', 'error_http_code' => $status];
}

/** Tells whether QGIS Server and its plugin are there, new enough, and run in an allowed way. */
function qgis_server_is_right(): bool
{
    $least = settings()['minimumRequiredVersion'];
    $server = qgis_server_metadata();

    return !isset($server['error'])
        && version_compare($server['metadata']['version'], $least['qgisServer'], '>=')
        && version_compare($server['plugins']['lizmap_server']['version'], $least['lizmapServerPlugin'], '>=')
        && settings()['qgisWrapper']['allowFcgi'];
}
