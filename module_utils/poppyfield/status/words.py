"""What the status says, in English and in French. What a Pi or its map server says itself stays as it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.status.rows import counts

Json = dict[str, Any]

LANGUAGES = ("en", "fr")
GB = 1024
LARGE = 100
MINUTE = 60
UNITS = {"days": 86400, "hours": 3600, "minutes": MINUTE}

SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "unreachable": "It does not answer by SSH: look at its power and its network. ({why})",
        "not_looked_at": "It answers, but could not be looked at: {why}",
        "never_asked": "It was never asked: run this without --limit.",
        "no_docker": "Docker does not answer: ansible-playbook site.yml mends it. ({why})",
        "missing": "Missing: {containers}. ansible-playbook site.yml brings what is missing.",
        "stopped": "{container} does not run (exit code {exit_code}): ansible-playbook site.yml mends it.",
        "restarting": "{container} ends again and again (code {exit_code}). On the Pi: sudo docker logs {container}",
        "paused": "{container} is paused: ansible-playbook site.yml lets it go on.",
        "unhealthy": "{container} is not healthy: {why}",
        "starting": "{container} is starting: look again in a few minutes.",
        "restarts": "Docker restarted {container} because it ended; number of times: {count}.",
        "map": "{map} does not draw: {why}",
        "left_out": "Maps go on without layers that cannot be opened: {layers}. ansible-playbook site.yml tells why.",
        "not_reached": "This laptop does not reach {url}. On the Pi the map server says that it is well.",
        "maps_not_asked": "The maps could not be asked for: {why}",
        **health.SENTENCES["en"],
        "disk": "The disk with {folder} is nearly full ({free_mb} MB free): remove what is not needed.",
        "backup_too_old": "The newest backup on {target} is of {moment}: put the target in, then ansible-playbook "
        "playbooks/backup.yml makes one.",
        "backup_unproven": "No backup on {target} was restored for trial with success for too long: on the Pi, sudo "
        "/usr/local/lib/poppyfield/backup prove does it, and says why not. ({why})",
        "backup_different": "A backup on {target} is not what was saved: take another target, and keep the data of "
        "this Pi. {why}",
        "backup_too_small": "The newest backup on {target} has less than half of what was proven last: look whether "
        "data are missing. If that is right, sudo /usr/local/lib/poppyfield/backup prove on the Pi takes it as such.",
        "backup_behind": "What is committed is not saved on {target} within a minute: on the Pi, sudo journalctl -u "
        "poppyfield-last-minute tells more. ({why})",
        "read_only": "Nothing can be written to its card or disk: make a backup, restart the Pi, and replace the card "
        "if it stays so.",
        "io_errors": "Its card or disk fails to read or write: make a backup now, and replace the card.",
        "worn": "Its card is nearly worn out: make a backup, and replace it soon.",
        "data_damaged": "On its disk {what} is damaged (seen on {moment}): replace the card, and bring it back from "
        "the backup: {command}",
        "data_unsaved": "On its disk {what} is damaged (seen on {moment}), and there is no backup: save what can still "
        "be read, on the Pi: {command}",
        "data_index": "On its disk the index {what} is damaged (seen on {moment}): rebuild it, on the Pi: {command}. "
        "If that comes again, replace the card.",
        "voltage": "The voltage is too low: use the power supply made for this Pi, with a short cable.",
        "voltage_earlier": "The voltage was too low since the start: use the power supply made for this Pi.",
        "hot": "The processor has {celsius} °C: give it air or a heat sink.",
        "clock_ahead": "The clock is {duration} ahead of this laptop's: give the Pi a time server, or set its clock.",
        "clock_behind": "The clock is {duration} behind this laptop's: give the Pi a time server, or set its clock.",
        "memory": "Only {free_mb} MB of memory are left.",
        "load": "It has more to do than it can: a load of {load} for {cores} cores.",
        "put_back": "The last release of {service}, {tried}, did not pass and the one from before serves again: see "
        "ansible-playbook playbooks/history.yml.",
        "deployment_failed": "The last deployment of {service} by {by} failed: see ansible-playbook "
        "playbooks/history.yml.",
        "old_release": "{container} is older than that of {pi} ({image}): ansible-playbook site.yml renews it.",
        "drift": "It is not as the inventory says: ansible-playbook site.yml would change {what} (seen on {moment}).",
    },
    "fr": {
        "unreachable": "Il ne répond pas par SSH : vérifiez son alimentation et son réseau. ({why})",
        "not_looked_at": "Il répond, mais n'a pas pu être examiné : {why}",
        "never_asked": "Il n'a jamais été interrogé : relancez sans --limit.",
        "no_docker": "Docker ne répond pas : ansible-playbook site.yml le répare. ({why})",
        "missing": "Il manque : {containers}. ansible-playbook site.yml apporte ce qui manque.",
        "stopped": "{container} ne tourne pas (code de sortie {exit_code}) : ansible-playbook site.yml le répare.",
        "restarting": "{container} s'arrête sans cesse (code {exit_code}). Sur le Pi : sudo docker logs {container}",
        "paused": "{container} est en pause : ansible-playbook site.yml le remet en marche.",
        "unhealthy": "{container} n'est pas en bonne santé : {why}",
        "starting": "{container} démarre : regardez de nouveau dans quelques minutes.",
        "restarts": "Docker a relancé {container}, qui s'était arrêté ; nombre de fois : {count}.",
        "map": "{map} ne se dessine pas : {why}",
        "left_out": "Des couches ne s'ouvrent plus, et manquent : {layers}. ansible-playbook site.yml dit pourquoi.",
        "not_reached": "Cet ordinateur n'atteint pas {url}. Sur le Pi, le serveur de cartes dit qu'il va bien.",
        "maps_not_asked": "Les cartes n'ont pas pu être demandées : {why}",
        **health.SENTENCES["fr"],
        "disk": "Le disque qui contient {folder} est presque plein ({free_mb} Mo libres) : supprimez l'inutile.",
        "backup_too_old": "La sauvegarde la plus récente sur {target} est de {moment} : branchez la destination, puis "
        "ansible-playbook playbooks/backup.yml en fait une.",
        "backup_unproven": "Depuis trop longtemps, aucune sauvegarde sur {target} n'a été restaurée à l'essai avec "
        "succès : sur le Pi, sudo /usr/local/lib/poppyfield/backup prove le fait, et dit ce qui l'empêche. ({why})",
        "backup_different": "Une sauvegarde sur {target} n'est pas ce qui a été sauvegardé : prenez une autre "
        "destination, et gardez les données de ce Pi. {why}",
        "backup_too_small": "La sauvegarde la plus récente sur {target} contient moins de la moitié de la dernière "
        "éprouvée : voyez s'il manque des données. Si c'est voulu, sudo /usr/local/lib/poppyfield/backup prove sur le "
        "Pi l'accepte.",
        "backup_behind": "Ce qui est saisi n'est pas sauvegardé sur {target} dans la minute : sur le Pi, sudo "
        "journalctl -u poppyfield-last-minute en dit plus. ({why})",
        "read_only": "Plus rien ne peut être écrit sur sa carte ou son disque : sauvegardez, redémarrez le Pi, et "
        "remplacez la carte si cela reste.",
        "io_errors": "Sa carte ou son disque lit ou écrit mal : sauvegardez tout de suite, et remplacez la carte.",
        "worn": "Sa carte est presque usée : sauvegardez, et remplacez-la bientôt.",
        "data_damaged": "Sur son disque, {what} est abîmé (vu le {moment}) : remplacez la carte, et reprenez-le de la "
        "sauvegarde : {command}",
        "data_unsaved": "Sur son disque, {what} est abîmé (vu le {moment}), et il n'y a pas de sauvegarde : sauvez ce "
        "qui se lit encore, sur le Pi : {command}",
        "data_index": "Sur son disque, l'index {what} est abîmé (vu le {moment}) : refaites-le, sur le Pi : {command}. "
        "Si cela revient, remplacez la carte.",
        "voltage": "La tension est trop basse : prenez l'alimentation faite pour ce Pi, avec un câble court.",
        "voltage_earlier": "La tension a été trop basse depuis le démarrage : prenez l'alimentation faite pour ce Pi.",
        "hot": "Le processeur est à {celsius} °C : donnez-lui de l'air ou un radiateur.",
        "clock_ahead": "L'horloge avance de {duration} sur celle d'ici : donnez un serveur de temps au Pi.",
        "clock_behind": "L'horloge retarde de {duration} sur celle d'ici : donnez un serveur de temps au Pi.",
        "memory": "Il ne reste que {free_mb} Mo de mémoire.",
        "load": "Il a plus à faire qu'il ne peut : une charge de {load} pour {cores} cœurs.",
        "put_back": "La dernière version de {service}, {tried}, n'a pas convenu et la précédente sert de nouveau : "
        "voyez ansible-playbook playbooks/history.yml.",
        "deployment_failed": "Le dernier déploiement de {service} par {by} a échoué : voyez ansible-playbook "
        "playbooks/history.yml.",
        "old_release": "{container} est plus ancien que celui de {pi} ({image}) : relancez ansible-playbook site.yml.",
        "drift": "Il n'est pas comme le dit l'inventaire : ansible-playbook site.yml changerait {what} "
        "(vu le {moment}).",
    },
}
"""By code what is wrong and, where one is known, what helps."""

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "unreachable": "unreachable",
        "broken": "broken",
        "attention": "attention",
        "fine": "fine",
        "title": "The fleet",
        "as_of": "as of",
        "last_seen": "last seen {when}",
        "never_seen": "never seen",
        "not_asked": "not asked in this run",
        "model": "Model",
        "system": "System",
        "releases": "Releases",
        "uptime": "Running for",
        "cpu": "Processor",
        "load": "Load",
        "memory": "Memory",
        "disk": "Disk",
        "backup": "Backup",
        "backup_of": "{target}: {saved} (last proven: {proven})",
        "backup_minute": "{backup}, with what was committed until {committed}",
        "data_check": "Data read whole on the disk",
        "temperature": "Temperature",
        "clock": "Clock",
        "clock_good": "as this laptop's",
        "security_updates": "Security updates that wait",
        "security_updates_known": "{count}, as known on {when}",
        "last_deploy": "Last deployed",
        "maps": "Maps",
        "draws": "draws",
        "does_not_draw": "does not draw",
        "private": "not for everybody, not asked for",
        "catalogue": "the list of maps",
        "picture_of": "(picture of {when})",
        "unknown": "not known",
        "of_free": "{free} of {total} free",
        "newer_release": "Newer release in the fleet",
        "drift": "What site.yml would change",
        "nothing": "nothing, as seen on {when}",
        "changes": "{what} (seen on {when})",
        "yes": "yes",
        "no": "no",
        "up": "up for",
        "found_earlier": "its health check found earlier:",
        "mb": "MB",
        "gb": "GB",
        "days": "days",
        "hours": "hours",
        "minutes": "minutes",
        "seconds": "seconds",
    },
    "fr": {
        "unreachable": "injoignable",
        "broken": "en panne",
        "attention": "à surveiller",
        "fine": "en ordre",
        "title": "Le parc",
        "as_of": "état au",
        "last_seen": "vu pour la dernière fois le {when}",
        "never_seen": "jamais vu",
        "not_asked": "pas interrogé cette fois",
        "model": "Modèle",
        "system": "Système",
        "releases": "Versions",
        "uptime": "En marche depuis",
        "cpu": "Processeur",
        "load": "Charge",
        "memory": "Mémoire",
        "disk": "Disque",
        "backup": "Sauvegarde",
        "backup_of": "{target} : {saved} (dernière preuve : {proven})",
        "backup_minute": "{backup}, avec ce qui a été saisi jusqu'au {committed}",
        "data_check": "Données lues intactes sur le disque",
        "temperature": "Température",
        "clock": "Horloge",
        "clock_good": "comme celle de cet ordinateur",
        "security_updates": "Mises à jour de sécurité en attente",
        "security_updates_known": "{count}, connues au {when}",
        "last_deploy": "Dernier déploiement",
        "maps": "Cartes",
        "draws": "se dessine",
        "does_not_draw": "ne se dessine pas",
        "private": "pas pour tout le monde, pas demandée",
        "catalogue": "la liste des cartes",
        "picture_of": "(image du {when})",
        "unknown": "inconnu",
        "of_free": "{free} libres sur {total}",
        "newer_release": "Version plus récente dans le parc",
        "drift": "Ce que site.yml changerait",
        "nothing": "rien, vu le {when}",
        "changes": "{what} (vu le {when})",
        "yes": "oui",
        "no": "non",
        "up": "en marche depuis",
        "found_earlier": "son contrôle de santé a trouvé plus tôt :",
        "mb": "Mo",
        "gb": "Go",
        "days": "jours",
        "hours": "heures",
        "minutes": "minutes",
        "seconds": "secondes",
    },
}


def found_earlier(row: Json) -> list[Json]:
    """Give the containers whose health check found something since they were healthy for the first time."""
    return [entry for entry in row["containers"] if entry["found_earlier"]]


class Speech:
    """Says things in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._labels = LABELS[language]

    def label(self, name: str, **values: Any) -> str:
        """Give a word or a few."""
        return self._labels[name].format(**values)

    def sentence(self, wrong: Json) -> str:
        """Say what is wrong."""
        values = {name: "?" if value is None else value for name, value in wrong["values"].items()}
        if "seconds" in values:
            values["duration"] = self.duration(float(values["seconds"]))
        if "when" in values:
            values["moment"] = self.moment(wrong["values"]["when"])
        return SENTENCES[self.language][wrong["code"]].format(**values)

    def number(self, value: float) -> str:
        """Write a number, with one decimal where it is small and has any."""
        text = f"{value:.0f}" if float(value).is_integer() or abs(value) >= LARGE else f"{value:.1f}"
        return text.replace(".", ",") if self.language == "fr" else text

    def duration(self, seconds: float) -> str:
        """Say how long something takes."""
        unit = next((unit for unit, length in UNITS.items() if seconds >= 2 * length), "seconds")
        return f"{int(seconds // UNITS.get(unit, 1))} {self.label(unit)}"

    def moment(self, text: str | None) -> str:
        """Write a time of ISO's, which is UTC, to the minute."""
        return f"{text[:16].replace('T', ' ')} UTC" if text else self.label("unknown")

    def megabytes(self, value: float) -> str:
        """Write an amount of memory or disk."""
        giga = value >= GB
        return f"{self.number(value / GB if giga else value)} {self.label('gb' if giga else 'mb')}"

    def free(self, free: float | None, total: float | None) -> str | None:
        """Say how much is free; None where that is not known."""
        if free is None or total is None:
            return None
        return self.label("of_free", free=self.megabytes(free), total=self.megabytes(total))

    def seen(self, row: Json) -> str:
        """Say of a Pi that did not tell itself when it last did; empty for one that did."""
        if row["asked"] and row["reachable"] and row["seen"]:
            return ""
        seen = self.label("last_seen", when=self.moment(row["seen"])) if row["seen"] else self.label("never_seen")
        return seen if row["asked"] else f"{self.label('not_asked')}, {seen}"

    def counted(self, rows: Sequence[Json]) -> str:
        """Say how many Pis are of each level, the worst first."""
        return ", ".join(f"{number} {self.label(level)}" for level, number in counts(rows).items() if number)

    def facts(self, row: Json) -> list[tuple[str, str]]:
        """Give what is known of a Pi, each with its name; what is not known is left out."""
        cpu, load, clock = row["cpu_percent"], row["load"], row["clock_ahead_seconds"]
        found = [
            ("model", row["model"]),
            ("system", " · ".join(part for part in (row["os"], row["kernel"], row["platform"]) if part)),
            ("releases", " · ".join(self.release(entry) for entry in row["containers"] if not entry["set_aside"])),
            ("uptime", None if row["uptime_seconds"] is None else self.duration(row["uptime_seconds"])),
            ("cpu", None if cpu is None else f"{self.number(cpu)} %"),
            ("load", " / ".join(self.number(one) for one in load) if load else None),
            ("memory", self.free(row["memory_available_mb"], row["memory_total_mb"])),
            *(("disk", self._disk(disk)) for disk in row["disks"]),
            *(("backup", self._backup(one)) for one in row["backups"]),
            ("data_check", self._data_check(row["data_check"])),
            ("temperature", self._celsius(row["temperature_celsius"])),
            ("clock", None if clock is None else self._clock(clock)),
            ("security_updates", self._updates(row)),
            ("last_deploy", self._deployed(row)),
            ("newer_release", self._newer(row["old_release"])),
            ("drift", self._drift(row["drift"])),
        ]
        return [(self.label(name), text) for name, text in found if text]

    def release(self, entry: Json) -> str:
        """Name what a container runs."""
        versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
        tag = (entry["image"] or "?").rpartition(":")[2]
        return f"{entry['service']} {tag}{f' ({versions})' if versions else ''}"

    def line(self, row: Json) -> str:
        """Give a Pi in one line, what is wrong first."""
        said = " ".join(self.sentence(wrong) for wrong in row["wrong"])
        facts = " | ".join(f"{name.lower()} {text}" for name, text in self.facts(row))
        maps = ", ".join(f"{one['map'] or self.label('catalogue')} {self.drawn(one)}" for one in row["maps"])
        notes = [f"{one['name']}: {self.label('found_earlier')} {one['found_earlier']}" for one in found_earlier(row)]
        parts = (said, self.seen(row), *notes, maps, facts)
        return f"{row['name']}: {self.label(row['level']).upper()} | {' | '.join(part for part in parts if part)}"

    def drawn(self, one: Json) -> str:
        """Say whether a map draws."""
        return self.label({True: "draws", False: "does_not_draw", None: "private"}[one["draws"]])

    def _disk(self, disk: Json) -> str | None:
        free = self.free(disk["free_mb"], disk["total_mb"])
        return f"{disk['folder']}: {free}" if free else None

    def _backup(self, one: Json) -> str:
        said = self.label(
            "backup_of", target=one["target"], saved=self.moment(one["saved"]), proven=self.moment(one["proven"])
        )
        committed = one["committed"]
        return self.label("backup_minute", backup=said, committed=self.moment(committed)) if committed else said

    def _data_check(self, found: Json | None) -> str | None:
        return self.moment(found["at"]) if found and found["whole"] else None

    def _deployed(self, row: Json) -> str | None:
        """Say when the containers were made, and who was the last to change them."""
        last = row["last_deployment"]
        who = ", ".join(last[name] for name in ("by", "playbook", "commit") if name in last)
        moment = self.moment(row["last_deploy"]) if row["last_deploy"] else None
        return f"{moment} ({who})" if moment and who else moment

    def _newer(self, old: bool | None) -> str | None:
        return None if old is None else self.label("yes" if old else "no")

    def _drift(self, found: Json | None) -> str | None:
        if found is None:
            return None
        when = self.moment(found["at"])
        what = ", ".join(found["would"])
        return self.label("changes", what=what, when=when) if what else self.label("nothing", when=when)

    def _celsius(self, celsius: float | None) -> str | None:
        return None if celsius is None else f"{self.number(celsius)} °C"

    def _clock(self, ahead: int) -> str:
        if abs(ahead) < MINUTE:
            return self.label("clock_good")
        return f"{'+' if ahead > 0 else '-'}{self.duration(abs(ahead))}"

    def _updates(self, row: Json) -> str | None:
        if row["security_updates"] is None:
            return None
        when = self.moment(row["security_updates_as_of"])
        return self.label("security_updates_known", count=row["security_updates"], when=when)
