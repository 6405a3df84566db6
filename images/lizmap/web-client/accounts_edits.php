<?php

// Changes in Lizmap. What Lizmap has a command for is done by that command; the rest is here and nowhere else:
//
//   {"command": [NAME, WORD, ...]}                          a command of Lizmap's console
//   {"user": LOGIN, "email": EMAIL, "status": STATUS}       an account's e-mail address and status
//   {"end_sessions_of": LOGIN}                              whoever is logged in by this name must log in again
//   {"repository": KEY, "values": {NAME: VALUE} or null}    settings of a repository; null removes it
//   {"ours": KIND, "name": NAME, "made": true or false}     notes, or forgets, that Poppyfield made it

use Jelix\IniFile\IniModifier;
use Symfony\Component\Console\Application;
use Symfony\Component\Console\Input\ArgvInput;
use Symfony\Component\Console\Output\BufferedOutput;

// Where php-fpm.conf keeps them.
const SESSIONS = '/tmp/sessions';

/** Makes the edits in their order; tells which one failed, or null. */
function make_edits(array $edits): ?array
{
    foreach ($edits as $number => $edit) {
        // What Lizmap prints must not get between the two documents.
        ob_start();

        try {
            make_edit($edit);
        } catch (Throwable $error) {
            return ['number' => $number, 'message' => trim($error->getMessage())];
        } finally {
            ob_end_clean();
        }
    }

    return null;
}

function make_edit(array $edit): void
{
    if (isset($edit['command'])) {
        run_command($edit['command']);
    } elseif (isset($edit['user'])) {
        $database = connect_as_lizmap('jauth');
        $statement = $database->prepare('UPDATE jlx_user SET usr_email = ?, status = ? WHERE usr_login = ?');
        $statement->execute([$edit['email'], $edit['status'], $edit['user']]);
    } elseif (isset($edit['end_sessions_of'])) {
        end_sessions($edit['end_sessions_of']);
    } elseif (isset($edit['repository'])) {
        write_repository($edit['repository'], $edit['values']);
    } else {
        write_ours($edit['ours'], $edit['name'], $edit['made']);
    }
}

/** Runs a command of Lizmap's console inside this process: its words are arguments to no program. */
function run_command(array $words): void
{
    static $console = null;
    $console ??= start_console();
    // A command that fails says why only when it is to be verbose.
    $output = new BufferedOutput(BufferedOutput::VERBOSITY_VERBOSE);
    $code = $console->run(new ArgvInput(['console.php', ...$words]), $output);
    if ($code !== 0) {
        throw new RuntimeException("{$words[0]} ended with {$code}. ".$output->fetch());
    }
}

/** Starts Lizmap once for all commands, as its console.php does for a single one. */
function start_console(): Application
{
    require_once LIZMAP.'/application.init.php';
    jApp::setEnv('console');
    $entry_point = Jelix\Core\Infos\FrameworkInfos::load()->getDefaultEntryPointInfo();
    jApp::setConfig(jConfigCompiler::read($entry_point->getConfigFile(), true, true, 'console.php'));
    jApp::setCoord(new jCoordinator());
    jFile::createDir(jApp::tempPath(), jApp::config()->chmodDir);
    // The files that are loaded here add their commands to this variable.
    $application = new Application();
    foreach (jApp::getEnabledModulesPaths() as $path) {
        if (is_file("{$path}commands.php")) {
            require "{$path}commands.php";
        }
    }
    $application->setAutoExit(false);
    $application->setCatchExceptions(false);

    return $application;
}

/** Removes the files of the sessions in which this user is logged in. */
function end_sessions(string $login): void
{
    $mark = sprintf('s:5:"login";s:%d:"%s";', strlen($login), $login);
    foreach (glob(SESSIONS.'/sess_*') ?: [] as $file) {
        if (str_contains((string) @file_get_contents($file), $mark)) {
            unlink($file);
        }
    }
}

/** Lizmap itself writes over this file in place; here the new one replaces it whole, also when the power is cut. */
function write_repository(string $key, ?array $values): void
{
    require_once LIZMAP.'/vendor/autoload.php';
    $file = (string) realpath(CONFIG.'/lizmapConfig.ini.php');
    do {
        $before = file_get_contents($file);
        $ini = new IniModifier($file);
        if ($values === null) {
            $ini->removeValue(null, "repository:{$key}");
        } else {
            $ini->setValues($values, "repository:{$key}");
        }
        $ini->saveAs("{$file}.partial");
        // An administrator who saved meanwhile comes first.
    } while (file_get_contents($file) !== $before);
    chmod("{$file}.partial", fileperms($file) & 0o777);
    replace_whole("{$file}.partial", $file);
}

/** Notes, or forgets, that something was made by Poppyfield, which may then remove it again. */
function write_ours(string $kind, string $name, bool $made): void
{
    $ours = read_ours();
    $names = array_diff($ours[$kind], [$name]);
    if ($made) {
        $names[] = $name;
    }
    sort($names);
    $ours[$kind] = $names;
    file_put_contents(OURS.'.partial', json_encode($ours, JSON_PRETTY_PRINT | JSON_THROW_ON_ERROR)."\n");
    replace_whole(OURS.'.partial', OURS);
}

/** Puts a file in the place of another one: after a power cut there is one of the two, and all of it. */
function replace_whole(string $new, string $old): void
{
    $stream = fopen($new, 'r+');
    if ($stream === false || !fsync($stream) || !rename($new, $old)) {
        throw new RuntimeException("{$old} cannot be written.");
    }
    fclose($stream);
}
