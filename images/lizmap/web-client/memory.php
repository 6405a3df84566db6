<?php

namespace Poppyfield;

/**
 * Times, each remembered under a text, in a file of a fixed size, which no number of visitors makes larger: a newer one
 * may take the place of an older. Texts cannot be read from it, for they are hashed with a key of this start of the
 * container.
 */
class Memory
{
    public const KEY_BYTES = 32;
    public const PLACES = 4096;
    public const PLACE_BYTES = 16;

    /** @var resource */
    private $file;
    private string $key;

    public function __construct(string $path)
    {
        $file = fopen($path, 'r+b');
        if ($file === false) {
            throw new \RuntimeException("{$path} cannot be opened.");
        }
        $this->file = $file;
        // What other processes have written since is read.
        stream_set_read_buffer($file, 0);
        $this->key = fread($file, self::KEY_BYTES);
    }

    /** The time remembered under a text; 0 when there is none. */
    public function time(string $text): int
    {
        [$place, $mark] = $this->place($text);
        fseek($this->file, $place);
        $found = (string) fread($this->file, self::PLACE_BYTES);

        return substr($found, 0, 8) === $mark ? unpack('J', $found, 8)[1] : 0;
    }

    /** Remembers what $new makes of the time so far. */
    public function change(string $text, callable $new): void
    {
        flock($this->file, LOCK_EX);
        $time = $new($this->time($text));
        [$place, $mark] = $this->place($text);
        fseek($this->file, $place);
        fwrite($this->file, $mark.pack('J', $time));
        fflush($this->file);
        flock($this->file, LOCK_UN);
    }

    /** Where a text is remembered, and the mark by which it is known there. */
    private function place(string $text): array
    {
        $hash = hash_hmac('sha256', $text, $this->key, true);
        $number = unpack('N', $hash)[1] % self::PLACES;

        return [self::KEY_BYTES + $number * self::PLACE_BYTES, substr($hash, 4, 8)];
    }
}
