<?php

// Stand-in for Jelix, for tests: what starts Lizmap's console.

namespace {
    class jCoordinator {}

    class jApp
    {
        public static string $temp = '';
        private static ?stdClass $config = null;
        private static ?jCoordinator $coordinator = null;
        private static string $environment = '';

        public static function setEnv(string $environment): void
        {
            self::$environment = $environment;
        }

        public static function setConfig(stdClass $config): void
        {
            self::$config = $config;
        }

        public static function config(): stdClass
        {
            return self::$config ?? throw new LogicException('Lizmap is not configured yet.');
        }

        public static function setCoord(jCoordinator $coordinator): void
        {
            self::$coordinator = $coordinator;
        }

        public static function coord(): jCoordinator
        {
            return self::$coordinator ?? throw new LogicException('Lizmap has not started yet.');
        }

        public static function tempPath(): string
        {
            return self::$temp ?: throw new LogicException('application.init.php comes first.');
        }

        public static function getEnabledModulesPaths(): array
        {
            // One for each of its folders; not all have commands.
            return ['lizmap' => dirname(__DIR__).'/modules/lizmap/', 'view' => dirname(__DIR__).'/modules/view/'];
        }
    }

    class jConfigCompiler
    {
        public static function read(string $file, bool $whole, bool $cli, string $script): stdClass
        {
            return (object) ['chmodDir' => '0775'];
        }
    }

    class jFile
    {
        public static function createDir(string $folder, string $mode): void
        {
            if (!is_dir($folder)) {
                mkdir($folder, octdec($mode), true);
            }
        }
    }
}

namespace Jelix\Core\Infos {
    class EntryPoint
    {
        public function getConfigFile(): string
        {
            return 'index/config.ini.php';
        }
    }

    class FrameworkInfos
    {
        public static function load(): self
        {
            return new self();
        }

        public function getDefaultEntryPointInfo(): EntryPoint
        {
            return new EntryPoint();
        }
    }
}
