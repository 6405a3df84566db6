<?php

// What the layers of a project show, read from its file: see answer.php.

namespace Poppyfield;

const PROJECTS = '/srv/projects';
const LARGEST_PROJECT = 16 * 1024 * 1024;

// Formats that name no other file or server. Files that belong to them lie beside them.
const FORMATS = '/\.(gpkg|geojson|json|shp|fgb|csv|tiff?|png|jpe?g|mbtiles|asc)$/i';
// What an expression gives without the data: the time, chance, and other places.
const FICKLE = '/\b(now|rand|randf|uuid|env|file_\w+|exif|load_layer|raster_value)\s*\(|\$now\b|@map_(start|end)_time/i';
// What an expression reads of other layers.
const FAR = '/\b(aggregate|relation_aggregate|get_feature(_by_id)?|overlay_\w+|layer_property)\s*\(/i';

/** A layer: where its data are, and how it is drawn. */
final class Layer
{
    /**
     * @param string  $name       by which WMS asks for it
     * @param bool    $inDatabase whether it is in the Pi's database; else in a file of the projects
     * @param ?array  $table      schema and name of its table or view, where it shows nothing else
     * @param bool    $isFar      whether it may show something of the other layers
     * @param bool    $covers     whether it hides what is below: areas and rasters
     * @param bool    $isLabelled whether it has labels
     * @param bool    $blends     whether it is mixed with what is below otherwise than by its opacity
     */
    public function __construct(
        public readonly string $name,
        public readonly bool $inDatabase,
        public readonly ?array $table,
        public readonly bool $isFar,
        public readonly bool $covers,
        public readonly bool $isLabelled,
        public readonly bool $blends,
    ) {
    }
}

/** A project whose map changes with its data alone. */
final class Project
{
    /** @param Layer[] $layers */
    public function __construct(public readonly array $layers, public readonly bool $isOnePicture)
    {
    }

    /** The layers on which a picture depends that is asked for by these names, with commas between them. */
    public function layersOf(string $names): array
    {
        $wanted = explode(',', $names);
        $known = array_map(fn (Layer $layer) => $layer->name, $this->layers);
        // A group, or a name that nothing has.
        if (array_diff($wanted, $known)) {
            return $this->layers;
        }
        $shown = array_filter($this->layers, fn (Layer $layer) => in_array($layer->name, $wanted, true));
        foreach ($shown as $layer) {
            if ($layer->isFar) {
                return $this->layers;
            }
        }

        return array_values($shown);
    }
}

/** The projects by their id in the catalogue, those alone whose map changes with their data alone. */
function projects(): array
{
    $projects = [];
    foreach (glob(PROJECTS.'/*/*.{qgs,qgz}', GLOB_BRACE) ?: [] as $path) {
        try {
            $projects[md5($path)] = project($path, text($path));
        } catch (\Throwable) {
            // QGIS Server says what is wrong with it.
        }
    }

    return array_filter($projects);
}

/** A project as QGIS saves it, also out of an archive; nothing where it cannot be read. */
function text(string $path): string
{
    if (!is_file($path) || filesize($path) > LARGEST_PROJECT) {
        return '';
    }
    if (!str_ends_with($path, '.qgz')) {
        return (string) file_get_contents($path);
    }
    // PHP would remember an archive by its name, also after another is in its place.
    $copy = '/tmp/php/'.bin2hex(random_bytes(8)).'.zip';
    try {
        copy($path, $copy);
        foreach (new \PharData($copy) as $entry) {
            if (str_ends_with($entry->getFilename(), '.qgs') && $entry->getSize() <= LARGEST_PROJECT) {
                return (string) file_get_contents($entry->getPathname());
            }
        }
    } finally {
        @unlink($copy);
    }

    return '';
}

/** What a project shows, or nothing where its map can change without the data that are looked at. */
function project(string $path, string $text): ?Project
{
    $parts = array_slice(explode('<maplayer ', $text), 1);
    // What forms fill in is not on the map.
    if (!$parts || preg_match(FICKLE, (string) preg_replace('/<(default|constraint)\b[^>]*>/', '', $text))) {
        return null;
    }
    $texts = array_map(fn (string $part) => explode('</maplayer>', $part)[0], $parts);
    $ids = array_map(fn (string $layer) => element($layer, 'id'), $texts);
    $named_by_id = (bool) preg_match('~<WMSUseLayerIDs\b[^>]*>true<~', $text);
    $layers = [];
    foreach ($texts as $number => $layer) {
        $others = array_diff($ids, [$ids[$number]]);
        $read = layer($path, $layer, $named_by_id ? $ids[$number] : '', $others);
        if ($read === null) {
            return null;
        }
        $layers[] = $read;
    }

    return new Project($layers, is_one_picture($text));
}

/** Whether a map has groups that are drawn as if they were layers, or layers that visitors are told nothing of. */
function is_one_picture(string $text): bool
{
    return (bool) preg_match('~<layer-tree-group\b[^>]*groupLayer=|<groupLayer\b|<WMSRestrictedLayers\b[^>]*>\s*<value>~', $text);
}

/** What a layer shows, named by its id where there is one; nothing where it can change without its data. */
function layer(string $project, string $text, string $id, array $others): ?Layer
{
    $provider = element($text, 'provider');
    $source = element($text, 'datasource');
    $in_database = $provider === 'postgres';
    if ($in_database) {
        if (!preg_match("/(^|\s)service='?poppyfield'?(\s|$)/", $source) || preg_match('/\b(host|dbname)\s*=/', $source)) {
            return null;
        }
    } elseif (!in_array($provider, ['ogr', 'gdal'], true) || !is_in_projects($project, $source)) {
        return null;
    }
    $mentioned = array_filter($others, fn (string $other) => $other === '' || str_contains($text, $other));

    return new Layer(
        name: $id !== '' ? $id : (element($text, 'shortname') ?: element($text, 'layername')),
        inDatabase: $in_database,
        table: $in_database ? table($source) : null,
        isFar: $mentioned || preg_match(FAR, $text),
        covers: !preg_match('/^[^>]*\bgeometry="(Point|Line|No geometry)"/', $text),
        isLabelled: !preg_match('/^[^>]*\blabelsEnabled="0"/', $text),
        blends: (bool) preg_match('/<blendMode>\s*[1-9]/', $text),
    );
}

/** The text of the first element of a name; empty where there is none. */
function element(string $text, string $name): string
{
    preg_match("~<{$name}(?:\s[^>]*)?>([^<]*)</{$name}>~", $text, $found);

    return html_entity_decode($found[1] ?? '', ENT_QUOTES | ENT_XML1);
}

/** Schema and name of the table that a source of QGIS names; nothing where it is a query, or filtered by one. */
function table(string $source): ?array
{
    if (preg_match('/\bselect\b/i', $source) || !preg_match('/\btable="([^"\\\\]+)"\."([^"\\\\]+)"(\s|$)/', $source, $found)) {
        return null;
    }

    return [$found[1], $found[2]];
}

/** Whether a source of data is one file in the folder of the projects. */
function is_in_projects(string $project, string $source): bool
{
    $name = explode('|', $source)[0];
    $path = realpath(str_starts_with($name, '/') ? $name : dirname($project).'/'.$name);

    return $path !== false && is_file($path) && str_starts_with($path, PROJECTS.'/') && preg_match(FORMATS, $path);
}
