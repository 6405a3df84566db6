<?php

// HAProxy holds answers until they are read, see ../queue/run. This looks every other second at who is behind with reading, and
// tells HAProxy, which gives these addresses no large answer then: what they have goes on, and what is small does, too.
//
// An address may be behind by as much memory as is left for everybody else. So one that is alone has half of it, ten have
// a part each, and there is some for who comes next. It may also not fill the door of its lane with what it does not read, for then
// nothing would come in any more.

namespace Poppyfield;

const FOLDER = '/run/queue';
const LOOK_SECONDS = 2;
const MOST_ANSWERS = 20;

/** What HAProxy answers to orders. */
function ordered(string $orders): string
{
    $socket = @stream_socket_client('unix://'.FOLDER.'/orders.sock', $number, $message, 2);
    if (!$socket) {
        return '';
    }
    stream_set_timeout($socket, 10);
    fwrite($socket, "{$orders}\n");
    $told = (string) stream_get_contents($socket);
    fclose($socket);

    return $told;
}

/** Of "show sess all" the bytes that are held of each answer, by service and lane. */
function held(string $told): array
{
    $held = ['qgis' => [], 'php' => []];
    foreach (preg_split('/^(?=0x[0-9a-f]+: )/m', $told) as $session) {
        if (preg_match('/^  backend=(\w+)-answers .*\n +server=(\w+) /m', $session, $backend)
            && preg_match('/^  res=.*?\bo=(\d+) p=\d+ i=(\d+) /ms', $session, $bytes) && $bytes[1] + $bytes[2] > 0) {
            $held[$backend[1]][$backend[2]][] = $bytes[1] + $bytes[2];
        }
    }

    return $held;
}

/** Which lanes of each service get no large answer. */
function behind(array $held): array
{
    $left = (int) getenv('ANSWERS_MB') * 1024 * 1024;
    foreach ($held as $lanes) {
        $left -= array_sum(array_map('array_sum', $lanes));
    }
    if ($left <= 0) {
        $all = [...range(0, 255), ...array_map(fn ($digit) => 'x'.dechex($digit), range(0, 15))];

        return array_fill_keys(array_keys($held), array_map('strval', $all));
    }
    $is_behind = fn ($answers) => array_sum($answers) >= $left || count($answers) >= MOST_ANSWERS;

    return array_map(fn ($lanes) => array_map('strval', array_keys(array_filter($lanes, $is_behind))), $held);
}

$known = [];
while (true) {
    sleep(LOOK_SECONDS);
    foreach (behind(held(ordered('show sess all'))) as $service => $lanes) {
        $list = FOLDER."/{$service}-behind";
        $before = $known[$service] ?? [];
        $orders = [
            ...array_map(fn ($lane) => "add acl {$list} {$lane}", array_diff($lanes, $before)),
            ...array_map(fn ($lane) => "del acl {$list} {$lane}", array_diff($before, $lanes)),
        ];
        $known[$service] = $lanes;
        if ($orders) {
            ordered(implode('; ', $orders));
            fwrite(STDERR, "readers: so many addresses are far behind with reading answers of {$service}: ".count($lanes).".\n");
        }
    }
}
