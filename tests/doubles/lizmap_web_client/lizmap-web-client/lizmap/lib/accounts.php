<?php

// Stand-in for Lizmap Web Client, for tests: accounts, groups and rights.

namespace StandIn;

function create_group(string $group, string $name, int $type, ?string $owner = null): void
{
    rows('jacl2_profile', 'INSERT INTO jacl2_group VALUES (?, ?, ?, ?)', [$group, $name, $type, $owner]);
}

function add_member(string $login, string $group): void
{
    rows('jacl2_profile', 'INSERT INTO jacl2_user_group VALUES (?, ?) ON CONFLICT DO NOTHING', [$login, $group]);
}

function give(string $group, string $right, string $resource): void
{
    $sql = 'INSERT INTO jacl2_rights (id_aclgrp, id_aclsbj, id_aclres) VALUES (?, ?, ?)';
    rows('jacl2_profile', $sql, [$group, $right, $resource]);
}

/** Refuses a group that is not there; with $public also one that is somebody's own. */
function check_group(string $group, bool $public = false): void
{
    $sql = 'SELECT grouptype FROM jacl2_group WHERE id_aclgrp = ?';
    $found = rows('jacl2_profile', $sql, [$group]);
    if (!$found || ($public && $found[0]['grouptype'] == 2)) {
        throw new \RuntimeException("No group \"{$group}\", or a private one");
    }
}

function user(string $login): ?array
{
    return rows('jauth', 'SELECT * FROM jlx_user WHERE usr_login = ?', [$login])[0] ?? null;
}

/** Makes an account in the default groups and a private one. Memberships that are there stay. */
function create_user(string $login, string $email, string $password): void
{
    $values = [$login, $email, password_hash($password, PASSWORD_DEFAULT)];
    rows('jauth', 'INSERT INTO jlx_user VALUES (?, ?, ?, 1)', $values);
    foreach (rows('jacl2_profile', 'SELECT id_aclgrp FROM jacl2_group WHERE grouptype = 1') as $default) {
        add_member($login, $default['id_aclgrp']);
    }
    if (!rows('jacl2_profile', 'SELECT 1 FROM jacl2_group WHERE id_aclgrp = ?', ["__priv_{$login}"])) {
        create_group("__priv_{$login}", $login, 2, $login);
    }
    add_member($login, "__priv_{$login}");
}

/** Removes an account and all that is its own; tells whether it did, for somebody must be left to give rights. */
function delete_user(string $login): bool
{
    $sql = 'SELECT m.login FROM jacl2_user_group m JOIN jacl2_rights r ON r.id_aclgrp = m.id_aclgrp
        WHERE r.id_aclsbj = ? AND m.login <> ?';
    $others = array_filter(rows('jacl2_profile', $sql, ['acl.user.modify', $login]), fn ($row) => user($row['login']));
    if (user($login) === null || !$others) {
        return false;
    }
    rows('jauth', 'DELETE FROM jlx_user WHERE usr_login = ?', [$login]);
    rows('jacl2_profile', 'DELETE FROM jacl2_user_group WHERE login = ?', [$login]);
    delete_group("__priv_{$login}");

    return true;
}

function delete_group(string $group): void
{
    foreach (['jacl2_rights', 'jacl2_user_group', 'jacl2_group'] as $table) {
        rows('jacl2_profile', "DELETE FROM {$table} WHERE id_aclgrp = ?", [$group]);
    }
}

/** Begins or continues a session. One that had its identifier changed leads to the new one for three minutes, as Jelix does. */
function start_session(): void
{
    session_start();
    if (isset($_SESSION['_new_session_id']) && $_SESSION['_destroyed'] >= time() - 180) {
        $new = $_SESSION['_new_session_id'];
        session_write_close();
        session_id($new);
        session_start();
    }
}

/** Gives the session another identifier, as Jelix does: the old one stays, and leads to it. */
function change_session_id(): void
{
    $session = $_SESSION;
    $_SESSION += ['_new_session_id' => session_create_id(), '_destroyed' => time()];
    $new = $_SESSION['_new_session_id'];
    session_write_close();
    ini_set('session.use_strict_mode', '0');
    session_id($new);
    session_start();
    $_SESSION = $session;
}

/** Lets somebody in for this request and, with cookies, for those after it; tells whether it did. */
function log_in(string $login, string $password): bool
{
    change_session_id();
    $user = user($login);
    if ($user === null || $user['status'] < 1 || !password_verify($password, $user['usr_password'])) {
        return false;
    }
    log_visit($user['usr_login']);
    $_SESSION['JELIX_USER'] = (object) ['login' => $user['usr_login'], 'email' => $user['usr_email']];

    return true;
}

/** Logs that somebody came, and since the second version from where. */
function log_visit(string $login): void
{
    $values = ['log_user' => $login] + (is_first(version()) ? [] : ['log_ip' => $_SERVER['REMOTE_ADDR']]);
    $columns = implode(', ', array_keys($values));
    $marks = implode(', ', array_fill(0, count($values), '?'));
    rows('lizlog', "INSERT INTO log_detail ({$columns}) VALUES ({$marks})", array_values($values));
}

/** The login of who asks; empty for an unknown visitor. An account is not looked at again. */
function visitor(): string
{
    return $_SESSION['JELIX_USER']->login ?? '';
}

/** Tells whether who asks has a right on a resource, or on all. One group from which it is taken away is enough. */
function may(string $right, string $resource = '-'): bool
{
    $login = visitor();
    $groups = $login === '' ? "'__anonymous'" : 'SELECT id_aclgrp FROM jacl2_user_group WHERE login = ?';
    $sql = "SELECT canceled FROM jacl2_rights
        WHERE id_aclsbj = ? AND id_aclres IN ('-', ?) AND id_aclgrp IN ({$groups})";
    $values = $login === '' ? [$right, $resource] : [$right, $resource, $login];
    $found = array_column(rows('jacl2_profile', $sql, $values), 'canceled');

    return $found && !array_filter($found);
}
