<?php

// Stand-in for jelix/inifile, for tests.

namespace Jelix\IniFile;

/** A file of settings whose comments, order and other settings stay as they are. */
class IniModifier
{
    private array $before;
    private array $lines;

    /** @param ?string $content what is in a file that does not exist */
    public function __construct(string $file, ?string $content = null)
    {
        if (!is_file($file) && $content === null) {
            throw new \RuntimeException("{$file} does not exist");
        }
        $text = is_file($file) ? file_get_contents($file) : $content;
        $this->before = $this->lines = explode("\n", rtrim($text));
    }

    public function isModified(): bool
    {
        return $this->lines !== $this->before;
    }

    public function saveAs(string $file): void
    {
        if (file_put_contents($file, implode("\n", $this->lines)."\n") === false) {
            throw new \RuntimeException("{$file} cannot be written");
        }
    }

    public function getValue(string $name, int|string $section = 0): null|array|string
    {
        $value = null;
        foreach ($this->settings($name, $section) as [, $key, $written]) {
            if ($key === null) {
                $value = $written;
            } else {
                $value[$key] = $written;
            }
        }

        return $value;
    }

    public function setValue(string $name, mixed $value, int|string $section = 0): void
    {
        $value = is_array($value) ? array_map([$this, 'text'], $value) : $this->text($value);
        if ($this->getValue($name, $section) === $value) {
            return;
        }
        $new = [];
        foreach (is_array($value) ? $value : [null => $value] as $key => $text) {
            // Plain are words and numbers only.
            $written = preg_match('/^[\w.\-]*$/', $text) ? $text : "\"{$text}\"";
            $new[] = $name.(is_array($value) ? "[{$key}]" : '')."={$written}";
        }
        $at = array_column($this->settings($name, $section), 0);
        foreach (array_reverse($at) as $number) {
            array_splice($this->lines, $number, 1);
        }
        array_splice($this->lines, $at[0] ?? $this->endOf($section), 0, $new);
    }

    public function setValues(array $values, int|string $section = 0): void
    {
        foreach ($values as $name => $value) {
            $this->setValue($name, $value, $section);
        }
    }

    /** Removes a setting; the whole section without a name. */
    public function removeValue(?string $name, int|string $section = 0, mixed $key = null, bool $comment = true): void
    {
        if ($key !== null || ($name !== null && $comment)) {
            throw new \LogicException('The stand-in does not remove comments, or parts of a setting.');
        }
        $numbers = $name === null ? $this->numbers($section) : array_column($this->settings($name, $section), 0);
        foreach (array_reverse($numbers) as $number) {
            array_splice($this->lines, $number, 1);
        }
    }

    private function text(mixed $value): string
    {
        $text = is_bool($value) ? ($value ? 'on' : 'off') : (string) $value;
        if (strpbrk($text, "\"\r\n") !== false) {
            throw new \RuntimeException("a setting cannot have the value {$text}");
        }

        return $text;
    }

    /** The numbers of the lines of a section, its header among them. */
    private function numbers(int|string $section): array
    {
        $numbers = [];
        $in = 0;
        foreach ($this->lines as $number => $line) {
            $in = preg_match('/^\s*\[([^\]]+)\]\s*$/', $line, $found) ? $found[1] : $in;
            if ($in === $section) {
                $numbers[] = $number;
            }
        }

        return $numbers;
    }

    /** What there is of a setting: [number of the line, key or null, value]. */
    private function settings(string $name, int|string $section): array
    {
        $pattern = '/^\s*'.preg_quote($name, '/').'(?:\[([^\]]*)\])?\s*=\s*(.*?)\s*$/';
        $settings = [];
        foreach ($this->numbers($section) as $number) {
            if (preg_match($pattern, $this->lines[$number], $found, PREG_UNMATCHED_AS_NULL)) {
                $settings[] = [$number, $found[1], trim($found[2], '"')];
            }
        }

        return $settings;
    }

    /** The number of the line after the last one of a section, which is made when it is missing. */
    private function endOf(int|string $section): int
    {
        $numbers = $this->numbers($section);
        if (!$numbers && $section !== 0) {
            array_push($this->lines, '', "[{$section}]");

            return count($this->lines);
        }
        while ($numbers && trim($this->lines[end($numbers)]) === '') {
            array_pop($numbers);
        }

        return $numbers ? end($numbers) + 1 : 0;
    }
}
