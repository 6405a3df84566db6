<?php

// Stand-in for symfony/console, for tests: as much of it as commands with words and flags need.

namespace Symfony\Component\Console\Input {
    class ArgvInput
    {
        public array $words;

        public function __construct(?array $argv = null)
        {
            $this->words = array_slice($argv ?? $_SERVER['argv'], 1);
        }
    }
}

namespace Symfony\Component\Console\Output {
    class BufferedOutput
    {
        public const VERBOSITY_NORMAL = 32;
        public const VERBOSITY_VERBOSE = 64;
        private string $written = '';

        public function __construct(private int $verbosity = self::VERBOSITY_NORMAL) {}

        public function isVerbose(): bool
        {
            return $this->verbosity >= self::VERBOSITY_VERBOSE;
        }

        public function writeln(string $line): void
        {
            $this->written .= "{$line}\n";
        }

        public function fetch(): string
        {
            $written = $this->written;
            $this->written = '';

            return $written;
        }
    }
}

namespace StandIn {
    /** A command; a word whose name ends with "?" may be missing. */
    class Command
    {
        public function __construct(
            public readonly string $name,
            public readonly array $words,
            public readonly array $flags,
            public readonly \Closure $run
        ) {}
    }
}

namespace Symfony\Component\Console {
    use StandIn\Command;
    use Symfony\Component\Console\Input\ArgvInput;
    use Symfony\Component\Console\Output\BufferedOutput;

    class Application
    {
        private array $commands = [];
        private bool $exits = true;
        private bool $catches = true;

        public function add(Command $command): void
        {
            $this->commands[$command->name] = $command;
        }

        public function setAutoExit(bool $exits): void
        {
            $this->exits = $exits;
        }

        public function setCatchExceptions(bool $catches): void
        {
            $this->catches = $catches;
        }

        public function run(?ArgvInput $input = null, ?BufferedOutput $output = null): int
        {
            $input ??= new ArgvInput();
            $shown = $output;
            $output ??= new BufferedOutput();

            try {
                $code = $this->call($input->words, $output);
            } catch (\Throwable $error) {
                if (!$this->catches) {
                    throw $error;
                }
                fwrite(STDERR, $error->getMessage()."\n");
                $code = 1;
            }
            if ($shown === null) {
                echo $output->fetch();
            }
            if ($this->exits) {
                exit($code);
            }

            return $code;
        }

        private function call(array $words, BufferedOutput $output): int
        {
            $name = array_shift($words) ?? '';
            $command = $this->commands[$name] ?? null;
            if ($command === null) {
                throw new \RuntimeException("There is no command \"{$name}\".");
            }
            $arguments = $flags = [];
            $only_words = false;
            foreach ($words as $word) {
                if ($word === '--' && !$only_words) {
                    $only_words = true;
                } elseif (!$only_words && str_starts_with($word, '-') && $word !== '-') {
                    if (!in_array($word, $command->flags, true)) {
                        throw new \RuntimeException("There is no option \"{$word}\".");
                    }
                    $flags[] = $word;
                } else {
                    $arguments[] = $word;
                }
            }
            $least = count(array_filter($command->words, fn ($word) => !str_ends_with($word, '?')));
            if (count($arguments) < $least || count($arguments) > count($command->words)) {
                throw new \RuntimeException("{$name} needs: ".implode(' ', $command->words));
            }

            return ($command->run)($arguments, $flags, $output) ?? 0;
        }
    }
}
