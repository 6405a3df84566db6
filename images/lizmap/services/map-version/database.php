<?php

// Which state the tables are in that layers show, as PostgreSQL tells it: see answer.php.

namespace Poppyfield;

// nginx waits a second for an answer.
const DATABASE_SECONDS = 0.7;
const REST_SECONDS = 2;
// More of the log than this is not read: then every table counts as written.
const MOST_LOG = 16 * 1024 * 1024;
const LOG_PAGE = 8192;
const LONGEST_PAGE_HEADER = 40;
// For so long a table that was written counts as one that is being edited.
const EDITED_SECONDS = 1800;

const QUESTION = 'SELECT pg_postmaster_start_time(), checkpoint_lsn, timeline_id, system_identifier, current_database(),'
    .' s AS snapshot, pg_snapshot_xmin(s) AS xmin, pg_snapshot_xmax(s) AS xmax,'
    ." pg_current_wal_flush_lsn() - '0/0' AS flushed, pg_current_wal_insert_lsn() - '0/0' AS inserted"
    .' FROM pg_control_checkpoint(), pg_control_system(), pg_current_snapshot() s'
    // What these show changes elsewhere.
    .' WHERE NOT EXISTS (SELECT FROM pg_foreign_table)';
const WHOLE = ['pg_postmaster_start_time', 'checkpoint_lsn', 'timeline_id', 'system_identifier', 'current_database', 'snapshot'];

// See module_utils/poppyfield/postgis/written_tables.py.
const WRITTEN = "SELECT * FROM poppyfield.written_tables('0/0'::pg_lsn + $1::numeric, '0/0'::pg_lsn + $2::numeric)";

// The files in which relations have their rows: of a view those of what it reads, of a table with parts those of the parts.
// Nothing is told of one whose rows depend on more: functions, policies, foreign or unlogged tables.
const FILES = <<<'SQL'
    WITH RECURSIVE wanted AS (
        SELECT number, c.oid FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS t (pair, number)
        JOIN pg_namespace n ON n.nspname = pair->>0 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = pair->>1
    ), reads AS (
        SELECT number, oid FROM wanted
        UNION SELECT number, more.oid FROM reads, LATERAL (
            SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = reads.oid
            UNION ALL SELECT d.refobjid FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                WHERE v.oid = reads.oid AND v.relkind = 'v' AND d.refclassid = 'pg_class'::regclass
        ) more
    )
    SELECT number, string_agg(coalesce(pg_relation_filenode(c.oid), 0)::text, ' ' ORDER BY c.oid) AS files,
        bool_or(c.relkind = 'v') AS is_view
    FROM reads JOIN pg_class c USING (oid) GROUP BY number
    HAVING bool_and(c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence = 'p' AND NOT c.relrowsecurity AND NOT EXISTS (
        SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        WHERE w.ev_class = c.oid AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AND NOT EXISTS (
            SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid AND e.refclassid = 'pg_extension'::regclass
            WHERE e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e' AND x.extname LIKE 'postgis%')))
    UNION ALL SELECT 0, string_agg(coalesce(pg_relation_filenode(oid), 0)::text, ' '), false FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
        AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata')
    UNION ALL SELECT -1, oid::text, false FROM pg_database WHERE datname = current_database()
    SQL;

/** A connection that is asked, and given up when it does not answer at once. */
final class Connection
{
    /** Another number for each time that it was made. */
    public int $number = 0;
    private ?\PgSql\Connection $connection = null;
    private float $rests_until = 0;

    public function __construct(private readonly string $options)
    {
    }

    /** The rows of an answer, by the names of their columns; nothing where there is none. */
    public function ask(string $question, array $values = []): ?array
    {
        if (!$this->connection && microtime(true) < $this->rests_until) {
            return null;
        }
        $rows = $this->try($question, $values) ?? $this->try($question, $values);
        if ($rows === null) {
            $this->rests_until = microtime(true) + REST_SECONDS;
        }

        return $rows;
    }

    private function try(string $question, array $values): ?array
    {
        if (!$this->connection) {
            $this->connection = @pg_connect("service=poppyfield connect_timeout=2 {$this->options}", PGSQL_CONNECT_FORCE_NEW) ?: null;
            ++$this->number;
        }
        if (!$this->connection || !@pg_send_query_params($this->connection, $question, $values)) {
            return $this->forget();
        }
        $sockets = [pg_socket($this->connection)];
        $none = null;
        $until = microtime(true) + DATABASE_SECONDS;
        while (@pg_connection_busy($this->connection)) {
            $left = $until - microtime(true);
            if ($left <= 0 || !stream_select($sockets, $none, $none, 0, (int) ($left * 1e6))) {
                return $this->forget();
            }
            $sockets = [pg_socket($this->connection)];
        }
        $result = pg_get_result($this->connection);
        if (!$result || pg_result_status($result) !== PGSQL_TUPLES_OK) {
            return $this->forget();
        }
        $rows = pg_fetch_all($result, PGSQL_ASSOC);
        while (pg_get_result($this->connection)) {
        }

        return $rows;
    }

    private function forget(): null
    {
        if ($this->connection) {
            @pg_close($this->connection);
        }
        $this->connection = null;

        return null;
    }
}

/** What was written into a file since it was looked at first: where in the log last, by which transactions, and when. */
final class Touch
{
    public function __construct(
        public readonly int $place,
        public readonly int $first,
        public readonly int $last,
        public readonly float $seconds,
    ) {
    }

    public function with(self $later): self
    {
        return new self($later->place, min($this->first, $later->first), max($this->last, $later->last), $later->seconds);
    }

    /** Whether all of these transactions are over, and theirs is what everybody sees. Numbers begin again after 2^32. */
    public function isOver(int $oldest): bool
    {
        return $this->last < $oldest && $oldest - $this->first < 1 << 31;
    }
}

/** The state of a set of tables. */
final class State
{
    public function __construct(public readonly string $words, public readonly bool $isSteady)
    {
    }
}

class Database
{
    private Connection $data;
    private Connection $log;
    /** From when on the log is known; another word each time that it begins again. */
    private string $beginning = '';
    private string $connections = '';
    private int $seen = 0;
    private ?int $newest = null;
    private bool $is_whole = false;
    private string $snapshot = '';
    /** @var array<int, Touch> by the number of the file */
    private array $touches = [];
    private ?Touch $catalogs = null;
    /** @var array<string, ?array{files: int[], is_view: bool}> by the table, for this snapshot */
    private array $files = [];

    public function __construct()
    {
        $this->data = new Connection('');
        // The log is one for all databases. This one is nobody's.
        $this->log = new Connection('dbname=postgres');
    }

    /**
     * The state of these tables, each a schema and a name, or of all that there is; nothing when the database does not tell.
     *
     * The state of all changes with each transaction. That of tables changes with those that wrote into them.
     */
    public function state(?array $tables): ?State
    {
        $told = $this->data->ask(QUESTION)[0] ?? null;
        if ($told === null) {
            return null;
        }
        $all = new State(implode(' ', array_intersect_key($told, array_flip(WHOLE))), false);

        return $tables === null || !$this->follows($told) ? $all : ($this->stateOf($tables, $told) ?? $all);
    }

    /** Whether a table is being edited: it was written within the last half an hour. To be asked after its state. */
    public function isEdited(array $table): bool
    {
        foreach ($this->files[keyOf($table)]['files'] ?? [] as $file) {
            if (isset($this->touches[$file]) && seconds() - $this->touches[$file]->seconds < EDITED_SECONDS) {
                return true;
            }
        }

        return false;
    }

    /** Read on in the log; tell whether everything is known of what this answer shows as done. */
    private function follows(array $told): bool
    {
        $connections = "{$this->data->number} {$this->log->number}";
        if ($this->beginning === '' || $this->connections !== $connections) {
            return $this->begin($told);
        }
        // Whatever was written before the beginning is by one of the transactions before this one.
        $this->newest ??= (int) $told['xmax'];
        if ($told['snapshot'] === $this->snapshot && $this->is_whole) {
            return true;
        }
        $this->files = [];
        $this->snapshot = $told['snapshot'];
        $this->is_whole = $this->read((int) $told['flushed']) && $this->reaches((int) $told['inserted'])
            && (int) $told['xmin'] >= $this->newest;

        return $this->is_whole;
    }

    private function begin(array $told): bool
    {
        // The other connection is made by now, so that its number stays.
        $this->beginning = $this->log->ask('SELECT 1') === null ? '' : bin2hex(random_bytes(8));
        $this->connections = "{$this->data->number} {$this->log->number}";
        $this->seen = (int) $told['flushed'];
        $this->newest = null;
        $this->is_whole = false;
        $this->touches = [];
        $this->files = [];
        $this->catalogs = null;

        return false;
    }

    private function read(int $until): bool
    {
        if ($until <= $this->seen) {
            return true;
        }
        $rows = $until - $this->seen <= MOST_LOG ? $this->log->ask(WRITTEN, [$this->seen, $until]) : null;
        $own = $rows === null ? null : $this->fileNumbers([]);
        if ($own === null) {
            $this->beginning = '';

            return false;
        }
        foreach ($rows as $row) {
            $this->seen = max($this->seen, (int) $row['seen']);
            $this->note($row, $own);
        }

        return true;
    }

    private function note(array $row, array $own): void
    {
        [$database, $file] = array_map(intval(...), explode('/', $row['file'] ?? '-1/0'));
        $touch = new Touch((int) $row['place'], (int) $row['first'], (int) $row['last'], seconds());
        if ($database === 0 || ($database === $own['database'] && in_array($file, $own['catalogs'], true))) {
            $this->catalogs = $this->catalogs?->with($touch) ?? $touch;
        } elseif ($database === $own['database']) {
            $this->touches[$file] = isset($this->touches[$file]) ? $this->touches[$file]->with($touch) : $touch;
        }
    }

    /** Whether the log was read up to here, but for the header of a page. */
    private function reaches(int $place): bool
    {
        return $this->seen >= $place || ($this->seen % LOG_PAGE === 0 && $place - $this->seen <= LONGEST_PAGE_HEADER);
    }

    private function stateOf(array $tables, array $told): ?State
    {
        $missing = array_values(array_filter($tables, fn (array $table) => !array_key_exists(keyOf($table), $this->files)));
        if ($missing && $this->fileNumbers($missing) === null) {
            return null;
        }
        $oldest = (int) $told['xmin'] & 0xFFFFFFFF;
        if ($this->catalogs && !$this->catalogs->isOver($oldest)) {
            return null;
        }
        $words = [$this->beginning, $this->catalogs?->place];
        $is_steady = true;
        foreach ($tables as $table) {
            $found = $this->files[keyOf($table)];
            if ($found === null) {
                return null;
            }
            foreach ($found['files'] as $file) {
                $touch = $this->touches[$file] ?? null;
                if ($touch && !$touch->isOver($oldest)) {
                    return null;
                }
                $words[] = "{$file}:{$touch?->place}";
            }
            $is_steady = $is_steady && !$found['is_view'];
        }

        return new State(implode(' ', $words), $is_steady);
    }

    /** Find the files of tables, and give those of PostgreSQL's catalogs, and the database's number. */
    private function fileNumbers(array $tables): ?array
    {
        $rows = $this->data->ask(FILES, [json_encode($tables, JSON_THROW_ON_ERROR)]);
        if ($rows === null) {
            return null;
        }
        $found = array_column($rows, null, 'number');
        $numbers = fn (string $words) => array_map(intval(...), explode(' ', $words));
        foreach ($tables as $place => $table) {
            $row = $found[$place + 1] ?? null;
            $this->files[keyOf($table)] = $row === null
                ? null
                : ['files' => $numbers($row['files']), 'is_view' => $row['is_view'] === 't'];
        }

        return ['catalogs' => $numbers($found[0]['files']), 'database' => (int) $found[-1]['files']];
    }
}

/** A table as the key of an array. */
function keyOf(array $table): string
{
    return implode("\0", $table);
}

/** Seconds of a clock that nobody sets. */
function seconds(): float
{
    return hrtime(true) / 1e9;
}
