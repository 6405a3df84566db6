<?php

namespace Poppyfield;

/**
 * PHP's own sessions in files, which also end: IDLE seconds after the last request, and LONGEST seconds after they began,
 * which their identifier tells. Lizmap gives a session another identifier when somebody logs in, so that counts as its
 * beginning.
 */
class Sessions extends \SessionHandler implements \SessionUpdateTimestampHandlerInterface
{
    public const IDLE = 2 * 3600;
    public const LONGEST = 12 * 3600;

    private string $folder = '';

    public function open(string $path, string $name): bool
    {
        $this->folder = $path;

        return parent::open($path, $name);
    }

    public function create_sid(): string
    {
        return sprintf('%08x-%s', time(), parent::create_sid());
    }

    /** Whether a session goes on. One that this server did not begin, or that has ended, gets another identifier. */
    public function validateId(string $id): bool
    {
        $file = self::file($this->folder, $id);
        if ($file === '' || !is_file($file)) {
            return false;
        }
        $goes_on = filemtime($file) > time() - self::IDLE && hexdec(substr($id, 0, 8)) > time() - self::LONGEST;
        if (!$goes_on) {
            unlink($file);
        }

        return $goes_on;
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->write($id, $data);
    }

    /** The file of a session; empty where an identifier is none of this server's. */
    public static function file(string $folder, string $id): string
    {
        return preg_match('/^[0-9a-f]{8}-[0-9a-zA-Z,-]{22,200}$/D', $id) ? "{$folder}/sess_{$id}" : '';
    }
}

/**
 * Has PHP begin sessions so. The session that a browser had before somebody logged in or out is removed: Lizmap's
 * framework leads whoever still knows it to the new one, for three minutes.
 */
function begin_sessions(): void
{
    session_set_save_handler(new Sessions(), true);
    $before = $_COOKIE[session_name()] ?? '';
    if (!is_string($before)) {
        unset($_COOKIE[session_name()]);

        return;
    }
    register_shutdown_function(function () use ($before): void {
        $file = Sessions::file(session_save_path(), $before);
        if ($file !== '' && session_id() !== '' && session_id() !== $before && is_file($file)) {
            unlink($file);
        }
    });
}
