<?php

// Stand-in for Lizmap Web Client, for tests: what browsers and QGIS Desktop get.

namespace StandIn;

require_once __DIR__.'/qgis_server.php';

const PAGES = [
    'index' => [
        '/view/' => 'show_repositories',
        '/view/map' => 'show_map',
        '/view/app/metadata' => 'tell_metadata',
        '/lizmap/service' => 'serve',
        '/lizmap/service/getProjectConfig' => 'tell_configuration',
    ],
    'admin' => [
        '/auth/login' => 'show_login',
        '/auth/login/in' => 'let_in',
        '/admin/maps/removeSection' => 'remove_section',
    ],
    'api' => ['/admin/repositories' => 'list_repositories'],
];

/** Answers a request for a script of www, with what comes after its name. */
function answer(string $script, string $path): void
{
    $function = PAGES[$script][$path] ?? null;
    // As with Jelix, these fields of a POST say what answers, whatever its address.
    if (($_POST['module'] ?? '') === 'jcommunity' && ($_POST['action'] ?? '') === 'login:in') {
        $function = 'let_in';
    }
    if ($function === null || !is_set_up()) {
        http_response_code($function === null ? 404 : 500);

        return;
    }
    $cookies = settings()['sessions'];
    $options = ['path' => '/', 'secure' => (bool) $cookies['cookieSecure'], 'httponly' => $cookies['cookieHttpOnly']];
    if ($cookies['cookieSameSite'] !== '') {
        $options['samesite'] = $cookies['cookieSameSite'];
    }
    session_set_cookie_params($options);
    start_session();
    (__NAMESPACE__."\\{$function}")();
}

function html(string $body): void
{
    header('Content-Type: text/html;charset=UTF-8');
    echo "<!DOCTYPE html>\n<title>Stand-in for Lizmap Web Client, for tests</title>\n";
    foreach ($_SESSION['messages'] ?? [] as $message) {
        echo '<ul class="jelix-msg"><li class="jelix-msg-item-error">', htmlspecialchars($message), '</li></ul>';
    }
    unset($_SESSION['messages']);
    echo "{$body}\n";
}

function json(array|\stdClass $document): void
{
    header('Content-Type: application/json');
    echo json_encode($document, JSON_THROW_ON_ERROR);
}

/** Sends the browser elsewhere, perhaps with a message, which is on the next page that it gets. */
function redirect(string $address, string $message = ''): void
{
    if ($message !== '') {
        $_SESSION['messages'][] = $message;
    }
    header("Location: {$address}", true, 303);
}

/** A page of this server as the browser names it: by what the web server tells of the request, the Host header first. */
function address(string $path, array $parameters): string
{
    $scheme = in_array($_SERVER['HTTPS'] ?? '', ['', 'off'], true) ? 'http' : 'https';
    [$name, $port] = explode(':', ($_SERVER['HTTP_HOST'] ?? '' ?: $_SERVER['SERVER_NAME']).':');
    $port = $port ?: $_SERVER['SERVER_PORT'];
    $usual = $scheme === 'https' ? '443' : '80';

    return "{$scheme}://{$name}".($port === $usual ? '' : ":{$port}")."{$path}?".http_build_query($parameters);
}

function show_repositories(): void
{
    $body = '<h1>'.htmlspecialchars(lizmap_config()['services']['appName'] ?? 'Stand-in').'</h1>';
    if (visitor() !== '') {
        $body .= '<p id="info-user-login">'.htmlspecialchars(visitor()).'</p>';
    }
    foreach (repositories() as $key => $repository) {
        if (may('lizmap.repositories.view', $key)) {
            $body .= '<h2>'.htmlspecialchars($repository['label']).'</h2>';
            foreach (projects($key) as $name) {
                $link = '/index.php/view/map?'.http_build_query(['repository' => $key, 'project' => $name]);
                $body .= '<a href="'.htmlspecialchars($link).'">'.htmlspecialchars($name).'</a>';
            }
        }
    }
    html($body);
}

/** Shows no map, but the page on which it would be; whoever may not see it is sent elsewhere. */
function show_map(): void
{
    $key = $_GET['repository'] ?? '';
    $list = '/index.php/view/';
    if (!qgis_server_is_right()) {
        redirect($list, 'This map cannot be displayed.');
    } elseif (!isset(repositories()[$key]) || !may('lizmap.repositories.view', $key)) {
        redirect(visitor() === '' ? '/admin.php/auth/login' : $list, 'You cannot access this repository.');
    } elseif (project_file($key, $_GET['project'] ?? '') === null) {
        redirect($list, 'The lizmap project '.strtoupper($_GET['project'] ?? '').' does not exist !');
    } else {
        log_visit(visitor());
        $link = address('/index.php/view/embed', ['repository' => $key, 'project' => $_GET['project']]);
        html('<p>Here would be a map.</p><a href="'.htmlspecialchars($link).'">To embed</a>');
    }
}

function show_login(): void
{
    $_SESSION['token'] ??= bin2hex(random_bytes(16));
    html(
        '<form method="post" action="/admin.php/auth/login/in">'
        ."<input type=\"hidden\" name=\"__JFORMS_TOKEN__\" value=\"{$_SESSION['token']}\"/>"
        .'<input name="auth_login"/><input type="password" name="auth_password"/><button>Log in</button></form>'
    );
}

function let_in(): void
{
    $token = (string) ($_POST['__JFORMS_TOKEN__'] ?? '');
    $is_form = isset($_SESSION['token']) && hash_equals($_SESSION['token'], $token);
    $is_in = $is_form && log_in((string) ($_POST['auth_login'] ?? ''), (string) ($_POST['auth_password'] ?? ''));
    redirect($is_in ? '/index.php/view/' : '/admin.php/auth/login');
}

function tell_metadata(): void
{
    $is_in = !isset($_SERVER['PHP_AUTH_USER']) || log_in($_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW']);
    $server = qgis_server_metadata();
    if (!may('lizmap.admin.access') && !may('lizmap.admin.server.information.view')) {
        $server = ['error' => 'NO_ACCESS'];
    }
    if (!$is_in) {
        $server = ['error' => 'WRONG_CREDENTIALS'];
    }
    $info = ['version' => version(), 'installation_complete' => installed_version() === version()];
    json(['stand_in_for_tests' => true, 'info' => $info, 'qgis_server_info' => $server]);
}

/** Removes a repository; by GET, as Lizmap does. */
function remove_section(): void
{
    if (may('lizmap.admin.repositories.delete')) {
        remove_repository($_GET['repository']);
    }
    redirect('/admin.php/admin/maps');
}

function list_repositories(): void
{
    if (isset($_SERVER['PHP_AUTH_USER'])) {
        log_in($_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW']);
    }
    if (visitor() === '') {
        http_response_code(401);
    } elseif (!may('lizmap.admin.repositories.view')) {
        http_response_code(403);
    } else {
        json(array_map(fn ($key) => ['key' => $key], array_keys(repositories())));
    }
}

/** The project that a request is for, when who asks may see it; otherwise the answer is given and this is null. */
function asked_project(): ?string
{
    $key = $_GET['repository'] ?? '';
    $file = project_file($key, $_GET['project'] ?? '');
    if ($file === null) {
        refuse(404, 'ProjectNotDefined');
    } elseif (!may('lizmap.repositories.view', $key)) {
        refuse(401, 'AuthorizationRequired');
    } else {
        return $file;
    }

    return null;
}

/** As Jelix does: nothing is written where nothing can be, and it is no error when it cannot. */
function write_log(string $message): void
{
    if (is_writable(LIZMAP.'/var/log')) {
        foreach (['errors', 'lizmap-admin'] as $name) {
            @error_log("{$message}\n", 3, LIZMAP."/var/log/{$name}.log");
        }
    }
}

function refuse(int $status, string $code): void
{
    http_response_code($status);
    header('Content-Type: text/xml;charset=UTF-8');
    $exception = "<ServiceException code=\"{$code}\">The stand-in refuses.</ServiceException>";
    echo "<ServiceExceptionReport>{$exception}</ServiceExceptionReport>";
}

/** Hands a request of WMS or WFS to QGIS Server. */
function serve(): void
{
    if (isset($_SERVER['PHP_AUTH_USER']) && !log_in($_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW'])) {
        refuse(401, 'AuthorizationRequired');

        return;
    }
    $file = asked_project();
    if ($file === null) {
        return;
    }
    $asked = array_change_key_case($_GET + $_POST);
    $document = str_starts_with($_SERVER['CONTENT_TYPE'] ?? '', 'text/xml') ? file_get_contents('php://input') : '';
    if ($document !== '') {
        $root = simplexml_load_string($document);
        $asked = ['service' => (string) $root['service'], 'request' => $root->getName()] + $asked;
    }
    $service = strtoupper($asked['service'] ?? '');
    if (!in_array($service, ['WMS', 'WFS'], true) || !isset($asked['request'])) {
        refuse(501, 'ServiceNotSupported');
    } elseif ($service === 'WFS' && !may('lizmap.tools.layer.export', $asked['repository'])) {
        refuse(403, 'Forbidden');
    } else {
        $project = ['repository' => $asked['repository'], 'project' => $asked['project']];
        $public = address('/index.php/lizmap/service', $project);
        if ($document === '' && tell_features($file, $asked)) {
            return;
        }
        [$status, $wrong] = hand_on_from_project($file, array_diff_key($asked, $project), $document, $public);
        if ($status === 0) {
            http_response_code(502);
        } elseif ($status >= 400) {
            write_log($_SERVER['REQUEST_URI'].': '.$wrong);
        }
    }
}

/**
 * Asks PostgreSQL itself for all features of a layer as GeoJSON, all at once; where that fails, QGIS Server is to be asked.
 * Filters are not understood.
 */
function tell_features(string $file, array $asked): bool
{
    $is_for_all = strtolower($asked['request']) === 'getfeature' && strtolower($asked['outputformat'] ?? '') === 'geojson'
        && !array_intersect_key($asked, array_flip(['exp_filter', 'featureid', 'filter', 'force_qgis']));
    if (!$is_for_all) {
        return false;
    }
    $layer = simplexml_load_file($file)->xpath('//maplayer[layername="'.($asked['typename'] ?? '').'"]')[0] ?? null;
    $is_there = preg_match('/table=("[^ ]+") \\((\w+)\\)/', (string) $layer?->datasource, $table);
    if (!$is_there || (string) $layer->provider !== 'postgres') {
        return false;
    }
    $geometry = "'geometry', ST_AsGeoJSON({$table[2]})::json";
    $sql = "SELECT json_build_object('type', 'Feature', 'properties', to_jsonb(t) - '{$table[2]}', {$geometry}) AS feature";
    try {
        $options = [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION];
        $database = new \PDO('pgsql:service=poppyfield', null, null, $options);
        $rows = $database->query("{$sql} FROM {$table[1]} AS t");
    } catch (\PDOException $error) {
        write_log($error->getMessage());

        return false;
    }
    header('Content-Type: application/vnd.geo+json; charset=utf-8');
    echo '{"type": "FeatureCollection", "features": [';
    for ($between = ''; $feature = $rows->fetchColumn(); $between = ',') {
        echo $between, $feature;
    }
    echo ']}';

    return true;
}

function tell_configuration(): void
{
    $file = asked_project();
    if ($file !== null) {
        $settings = project_settings($file);
        if (!may('lizmap.tools.edition.use', $_GET['repository'])) {
            unset($settings->editionLayers);
        }
        json($settings);
    }
}
