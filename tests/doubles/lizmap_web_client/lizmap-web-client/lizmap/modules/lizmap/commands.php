<?php

// Stand-in for Lizmap Web Client, for tests: its commands. The file that requires this one has $application.

namespace StandIn;

function command(string $name, array $words, array $flags, callable $run): Command
{
    return new Command($name, $words, $flags, function (...$arguments) use ($run): ?int {
        // Throws when Lizmap has not been started as it wants to be.
        \jApp::config();
        \jApp::coord();

        return $run(...$arguments);
    });
}

$application->add(command(
    'jcommunity:user:create',
    ['login', 'email', 'password'],
    ['--admin'],
    function ($words, $flags, $output): int {
        [$login, $email, $password] = $words;
        $code = user($login) !== null ? 2 : (filter_var($email, FILTER_VALIDATE_EMAIL) ? 0 : 1);
        if ($code) {
            if ($output->isVerbose()) {
                $output->writeln($code === 2 ? 'This login is taken.' : 'This is no e-mail address.');
            }

            return $code;
        }
        create_user($login, $email, $password);
        if ($flags) {
            add_member($login, 'admins');
        }

        return 0;
    }
));
$application->add(command('jcommunity:user:delete', ['login'], [], fn ($words) => delete_user($words[0]) ? 0 : 1));
$application->add(command(
    'jcommunity:password:change',
    ['login', 'password'],
    ['--force'],
    function ($words, $flags, $output): int {
        [$login, $password] = $words;
        if (user($login) === null || !$flags) {
            return 1;
        }
        $hash = password_hash($password, PASSWORD_DEFAULT);
        rows('jauth', 'UPDATE jlx_user SET usr_password = ? WHERE usr_login = ?', [$hash, $login]);
        // Lizmap shows it, too.
        $output->writeln("{$login}: {$password}");

        return 0;
    }
));
$application->add(command('acl2group:create', ['group', 'name?'], [], function ($words): void {
    if (rows('jacl2_profile', 'SELECT 1 FROM jacl2_group WHERE id_aclgrp = ?', [$words[0]])) {
        throw new \RuntimeException("There is a group \"{$words[0]}\" already");
    }
    create_group($words[0], $words[1] ?? $words[0], 0);
}));
$application->add(command('acl2group:name', ['group', 'name'], [], function ($words): void {
    check_group($words[0], true);
    rows('jacl2_profile', 'UPDATE jacl2_group SET name = ? WHERE id_aclgrp = ?', [$words[1], $words[0]]);
}));
$application->add(command('acl2group:delete', ['group'], ['--confirm'], function ($words, $flags): int {
    check_group($words[0], true);
    // Without it Lizmap asks, and nobody answers.
    if ($flags) {
        delete_group($words[0]);
    }

    return $flags ? 0 : 1;
}));
$application->add(command('acl2user:addgroup', ['login', 'group'], [], function ($words): void {
    check_group($words[1]);
    $groups = rows('jacl2_profile', 'SELECT id_aclgrp FROM jacl2_user_group WHERE login = ?', [$words[0]]);
    $groups = array_column($groups, 'id_aclgrp');
    if (in_array($words[1], $groups, true) || !in_array("__priv_{$words[0]}", $groups, true)) {
        throw new \RuntimeException("\"{$words[0]}\" is a member of \"{$words[1]}\" already, or nobody's login");
    }
    add_member($words[0], $words[1]);
}));
$application->add(command('acl2user:removegroup', ['login', 'group'], [], function ($words): void {
    check_group($words[1]);
    rows('jacl2_profile', 'DELETE FROM jacl2_user_group WHERE login = ? AND id_aclgrp = ?', $words);
}));
$application->add(command('acl2:add', ['group', 'right', 'resource?'], [], function ($words): void {
    [$group, $right, $resource] = [...$words, '-'];
    check_group($group);
    $sql = 'SELECT 1 FROM jacl2_rights WHERE id_aclgrp = ? AND id_aclsbj = ? AND id_aclres = ?';
    if (rows('jacl2_profile', $sql, [$group, $right, $resource])) {
        throw new \RuntimeException("\"{$group}\" has \"{$right}\" on \"{$resource}\" already");
    }
    if (!rows('jacl2_profile', 'SELECT 1 FROM jacl2_subject WHERE id_aclsbj = ?', [$right])) {
        throw new \RuntimeException("There is no right \"{$right}\"");
    }
    give($group, $right, $resource);
}));
$application->add(command('acl2:remove', ['group', 'right', 'resource?'], ['--confirm'], function ($words, $flags) {
    $values = array_slice([...$words, '-'], 0, 3);
    check_group($values[0]);
    if (!$flags) {
        return 1;
    }
    $where = 'FROM jacl2_rights WHERE id_aclgrp = ? AND id_aclsbj = ? AND id_aclres = ?';
    if (!rows('jacl2_profile', "SELECT 1 {$where}", $values)) {
        throw new \RuntimeException('This right was not given');
    }
    rows('jacl2_profile', "DELETE {$where}", $values);

    return 0;
}));
$application->add(command('acl2:list', [], [], function ($words, $flags, $output): void {
    $sql = 'SELECT g.id_aclgrp, g.name, r.id_aclsbj, r.id_aclres FROM jacl2_rights r
        JOIN jacl2_group g ON g.id_aclgrp = r.id_aclgrp ORDER BY 1, 3, 4';
    foreach (rows('jacl2_profile', $sql) as $row) {
        $output->writeln('| '.implode(' | ', $row).' |');
    }
}));
$application->add(command('repository:create', ['key', 'label', 'path'], [], function ($words): void {
    create_repository(...$words);
}));
