<?php

// Stand-in for Lizmap Web Client, for tests: repositories and their projects.

namespace StandIn;

use Jelix\IniFile\IniModifier;

/** The settings of each repository, by its key. */
function repositories(): array
{
    $repositories = [];
    foreach (lizmap_config() as $section => $values) {
        if (str_starts_with($section, 'repository:')) {
            $repositories[substr($section, strlen('repository:'))] = $values;
        }
    }

    return $repositories;
}

function create_repository(string $key, string $label, string $path): void
{
    if (isset(repositories()[$key])) {
        throw new \RuntimeException("There is a repository \"{$key}\" already");
    }
    if (!is_dir($path)) {
        // The words that an administrator looks for.
        throw new \RuntimeException("The path provided doesn't exist or is not a directory");
    }
    $file = CONFIG.'/lizmapConfig.ini.php';
    $ini = new IniModifier($file);
    $values = ['label' => $label, 'path' => rtrim($path, '/').'/', 'allowUserDefinedThemes' => false];
    $ini->setValues($values, "repository:{$key}");
    $ini->saveAs($file);
}

function remove_repository(string $key): void
{
    $file = CONFIG.'/lizmapConfig.ini.php';
    $ini = new IniModifier($file);
    $ini->removeValue(null, "repository:{$key}");
    $ini->saveAs($file);
}

/** The file of a project, beside which its settings have to be; null without both. */
function project_file(string $key, string $name): ?string
{
    $path = repositories()[$key]['path'] ?? '';
    $file = "{$path}{$name}.qgs";

    return preg_match('/^[\w\-]+$/', $name) && is_file($file) && is_file("{$file}.cfg") ? $file : null;
}

/** The names of the projects of a repository. */
function projects(string $key): array
{
    $files = glob(repositories()[$key]['path'].'*.qgs');

    $names = array_map(fn ($file) => basename($file, '.qgs'), $files);

    return array_filter($names, fn ($name) => project_file($key, $name) !== null);
}

/** What Lizmap's plugin for QGIS Desktop wrote beside a project. */
function project_settings(string $file): \stdClass
{
    return json_decode(file_get_contents("{$file}.cfg"), false, 512, JSON_THROW_ON_ERROR);
}
