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

/** Asks QGIS Server, perhaps with a document, and hands the answer on while it comes; gives the status and what was wrong. */
function hand_on(string $url, string $document, array $headers): array
{
    $wrong = '';
    $request = curl_init($url);
    if ($document !== '') {
        curl_setopt($request, CURLOPT_POSTFIELDS, $document);
        $headers[] = 'Content-Type: text/xml';
    }
    curl_setopt_array($request, [
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_WRITEFUNCTION => function ($request, string $part) use (&$wrong): int {
            $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);
            if (!headers_sent()) {
                http_response_code($status);
                header('Content-Type: '.(curl_getinfo($request, CURLINFO_CONTENT_TYPE) ?: 'text/plain'));
            }
            $wrong .= $status >= 400 ? $part : '';
            echo $part;
            flush();

            return strlen($part);
        },
    ]);
    curl_exec($request);

    return [curl_getinfo($request, CURLINFO_RESPONSE_CODE), $wrong];
}

/** Hands on what QGIS Server says of a project of which browsers know the address $public. */
function hand_on_from_project(string $file, array $parameters, string $document, string $public): array
{
    $services = lizmap_config()['services'];
    $root = rtrim($services['rootRepositories'] ?? '', '/').'/';
    if (($services['relativeWMSPath'] ?? '') && str_starts_with($file, $root)) {
        $file = substr($file, strlen($root));
    }
    $url = $services['wmsServerURL'].'?'.http_build_query(['map' => $file] + $parameters);

    return hand_on($url, $document, ["X-Qgis-Service-Url: {$public}"]);
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
