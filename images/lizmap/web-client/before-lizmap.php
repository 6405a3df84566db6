<?php

// Runs before each script of Lizmap, by auto_prepend_file in ../php-fpm.conf: sessions end, and passwords are not guessed.
//
// Guesses are counted here and not in nginx. Lizmap takes a password at many addresses: by HTTP Basic at those of its
// services, its media and its API; by the form at every one, because the fields "module" and "action" of a POST choose
// what answers. A wrong one is not seen by the status either, which is 200, 303 or 401. And programs as QGIS Desktop send
// their password with each of a hundred requests, which a limit on all requests with one would stop.
//
// So what counts are different passwords that fail, by address: five at once, then one each twelve seconds. Who has used
// those up is not asked for another password, right or wrong, but what has been tried from this address within the hour
// is no guess and is passed on: honest programs go on beside somebody who guesses, and a tablet with an old password does
// not use up the attempts of its school. Accounts are not counted, so that nobody can be locked out of theirs from
// elsewhere. Requests that are answered at the same time may each fail once more, as many as there are PHP processes.

namespace Poppyfield;

require __DIR__.'/memory.php';

require __DIR__.'/sessions.php';

const AT_ONCE = 5;
const PAUSE = 12;
const REMEMBERED = 3600;
const TOO_MANY = "Too many attempts to log in. Wait a minute, then try again.\n"
    ."Trop d'essais de connexion. Attendez une minute, puis réessayez.\n";

/** Whom attempts are counted for, by the address that nginx found. Who has an address of IPv6 has 64 bits of them. */
function client(string $address): string
{
    $packed = (string) inet_pton($address);

    return strlen($packed) === 16 ? substr($packed, 0, 8) : $packed;
}

/** What Lizmap may read from the form, as its framework does for each method and type of a request. */
function fields(): array
{
    $type = $_SERVER['CONTENT_TYPE'] ?? '';
    $body = fn () => (string) file_get_contents('php://input');
    if (str_starts_with($type, 'application/json')) {
        $sent = json_decode($body(), true);
    } elseif ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $sent = $_POST;
    } elseif (str_starts_with($type, 'multipart/')) {
        // Nobody sends this but to hide a password: all of it counts as one.
        $sent = ['auth_password' => $body()];
    } else {
        parse_str($body(), $sent);
    }

    return [...$_GET, ...(is_array($sent) ? $sent : [])];
}

/** The names and passwords that come with a request: none, by HTTP Basic, by the form, or by both. */
function credentials(): array
{
    $fields = fields();
    $basic = isset($_SERVER['PHP_AUTH_USER']) ? [$_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW'] ?? ''] : null;
    $form = isset($fields['auth_password']) ? [$fields['auth_login'] ?? '', $fields['auth_password']] : null;

    return array_filter(['HTTP Basic' => $basic, 'the form' => $form]);
}

/** Whether Lizmap has let them in. Who guesses by the form may be logged in already, as somebody else. */
function is_let_in(array $credentials): bool
{
    $user = $_SESSION['JELIX_USER'] ?? null;
    $names = array_filter([$user->login ?? '', $user->email ?? '']);
    [$name] = $credentials['the form'] ?? [$names[0] ?? ''];

    return is_string($name) && in_array(mb_strtolower($name), array_map('mb_strtolower', $names), true);
}

/** Ends the request, or has it noted when Lizmap has answered. */
function limit_guesses(array $credentials): void
{
    $memory = new Memory('/tmp/php/log-ins');
    $client = client($_SERVER['REMOTE_ADDR']);
    $attempt = $client.serialize($credentials);
    $is_known = $memory->time($attempt) > time();
    if (!$is_known && $memory->time($client) > time() + PAUSE * (AT_ONCE - 1)) {
        http_response_code(429);
        header('Content-Type: text/plain;charset=UTF-8');
        header('Retry-After: 60');

        exit(TOO_MANY);
    }
    register_shutdown_function(function () use ($memory, $client, $attempt, $is_known, $credentials): void {
        $memory->change($attempt, fn () => time() + REMEMBERED);
        if (!$is_known && !is_let_in($credentials)) {
            $memory->change($client, fn (int $time) => max($time, time()) + PAUSE);
            $ways = implode(' and ', array_keys($credentials));
            error_log("Failed to log in from {$_SERVER['REMOTE_ADDR']} by {$ways}.");
        }
    });
}

$credentials = credentials();
if (isset($credentials['HTTP Basic'])) {
    // A request with a password needs no session: whoever is logged in after it was let in by the password.
    $_COOKIE = [];
}
if ($credentials) {
    limit_guesses($credentials);
}
begin_sessions();
unset($credentials);
