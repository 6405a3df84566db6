"""What a Pi's page says to anybody, in English and in French. Where the fleet's status says the same, it is taken."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.status import words

LANGUAGES = words.LANGUAGES
FROM_THE_FLEET = ("voltage", "voltage_earlier", "hot", *health.CODES)
"""What tells nothing but health there already."""

SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        **{code: words.SENTENCES["en"][code] for code in FROM_THE_FLEET},
        "io_errors": "The card or disk fails to read or write: make a backup now, and replace the card.",
        "read_only": "Nothing can be written: make a backup, restart the Pi, and replace the card if it stays so.",
        "worn": "The card is nearly worn out: make a backup, and replace it soon.",
        "disk": "The disk is nearly full: remove what is not needed. On a full disk nothing can be edited.",
        "backup_too_old": "The newest backup is too old: put the stick in, and it is made within the hour.",
        "backup_unproven": "For too long no backup was restored for trial with success: leave the stick in, and look "
        "at ansible-playbook playbooks/backup_report.yml.",
        "backup_different": "A backup that was restored for trial is not what was saved: take another stick. "
        "ansible-playbook playbooks/backup_report.yml tells more.",
        "backup_too_small": "The newest backup has less than half of what it had: look whether data are missing.",
        "backup_behind": "What is committed is not saved on the stick within a minute: ansible-playbook "
        "playbooks/backup_report.yml tells why.",
        "data_damaged": "Something in it is damaged on the disk: replace the card, and restore the backup. "
        "ansible-playbook playbooks/status.yml tells what, and how.",
        "data_unsaved": "Something in it is damaged on the disk, and there is no backup: ansible-playbook "
        "playbooks/status.yml tells what, and how the rest is saved.",
        "data_index": "An index is damaged on the disk: ansible-playbook playbooks/status.yml tells how to renew it.",
        "clock_before": "The clock is wrong: connect the Pi to a network with a time server, or set its clock.",
        "memory": "Little memory is left: fewer people at once, or a Pi with more memory.",
        "load": "It has more to do than it can: fewer people at once, or simpler maps.",
        "no_docker": "Docker does not answer: restart the Pi. If it stays so, ansible-playbook site.yml mends it.",
        "missing": "{subject}: missing. ansible-playbook site.yml brings what is missing.",
        "stopped": "{subject}: stopped. ansible-playbook playbooks/service.yml starts it, site.yml mends it.",
        "restarting": "{subject}: ends again and again. ansible-playbook playbooks/logs.yml tells why.",
        "paused": "{subject}: paused. ansible-playbook site.yml lets it go on.",
        "unhealthy": "{subject}: does not work. ansible-playbook playbooks/status.yml tells why, site.yml mends it.",
        "starting": "{subject}: starting. Look again in a few minutes.",
        "restarts": "{subject}: ended, and was started again. ansible-playbook playbooks/logs.yml tells why.",
        "map": "{map} does not draw: ansible-playbook playbooks/verify.yml tells why, and what helps.",
        "left_out": "Some layers cannot be opened, and the maps go on without them: ansible-playbook "
        "playbooks/verify.yml tells which.",
        "updates": "Security updates wait: connect the Pi to the internet and install them (sudo apt full-upgrade).",
        "not_known": "Something could not be looked at: ansible-playbook playbooks/status.yml tells more.",
    },
    "fr": {
        **{code: words.SENTENCES["fr"][code] for code in FROM_THE_FLEET},
        "io_errors": "La carte ou le disque lit ou écrit mal : sauvegardez tout de suite et remplacez la carte.",
        "read_only": "Plus rien ne peut être écrit : sauvegardez, redémarrez le Pi, remplacez la carte si cela reste.",
        "worn": "La carte est presque usée : sauvegardez et remplacez-la bientôt.",
        "disk": "Le disque est presque plein : supprimez l'inutile. Sur un disque plein, rien ne peut être édité.",
        "backup_too_old": "La dernière sauvegarde est trop vieille : branchez la clé, et elle se fait dans l'heure.",
        "backup_unproven": "Depuis trop longtemps, aucune sauvegarde n'a été restaurée à l'essai avec succès : laissez "
        "la clé branchée, et voyez ansible-playbook playbooks/backup_report.yml.",
        "backup_different": "Une sauvegarde restaurée à l'essai n'est pas ce qui a été sauvegardé : prenez une autre "
        "clé. ansible-playbook playbooks/backup_report.yml en dit plus.",
        "backup_too_small": "La dernière sauvegarde a moins de la moitié d'avant : voyez s'il manque des données.",
        "backup_behind": "Ce qui est saisi n'est pas sauvegardé sur la clé dans la minute : ansible-playbook "
        "playbooks/backup_report.yml dit pourquoi.",
        "data_damaged": "Quelque chose y est abîmé sur le disque : remplacez la carte, et restaurez la sauvegarde. "
        "ansible-playbook playbooks/status.yml dit quoi, et comment.",
        "data_unsaved": "Quelque chose y est abîmé sur le disque, sans sauvegarde : ansible-playbook "
        "playbooks/status.yml dit quoi, et comment sauver le reste.",
        "data_index": "Un index est abîmé sur le disque : playbooks/status.yml dit comment le refaire.",
        "clock_before": "L'horloge est fausse : reliez le Pi à un serveur de temps, ou mettez-la à l'heure.",
        "memory": "Il reste peu de mémoire : moins de personnes à la fois, ou un Pi qui a plus de mémoire.",
        "load": "Il a plus à faire qu'il ne peut : moins de personnes à la fois, ou des cartes plus simples.",
        "no_docker": "Docker ne répond pas : redémarrez le Pi. Si cela reste, ansible-playbook site.yml le répare.",
        "missing": "{subject} : absent. ansible-playbook site.yml apporte ce qui manque.",
        "stopped": "{subject} : à l'arrêt. ansible-playbook playbooks/service.yml démarre, site.yml répare.",
        "restarting": "{subject} : s'arrête sans cesse. ansible-playbook playbooks/logs.yml dit pourquoi.",
        "paused": "{subject} : en pause. ansible-playbook site.yml remet en marche.",
        "unhealthy": "{subject} : en panne. ansible-playbook playbooks/status.yml dit pourquoi, site.yml répare.",
        "starting": "{subject} : démarre. Regardez de nouveau dans quelques minutes.",
        "restarts": "{subject} : s'est arrêté et a été relancé. ansible-playbook playbooks/logs.yml dit pourquoi.",
        "map": "{map} ne se dessine pas : ansible-playbook playbooks/verify.yml dit pourquoi, et ce qui aide.",
        "left_out": "Des couches ne peuvent pas être ouvertes, et les cartes continuent sans elles : ansible-playbook "
        "playbooks/verify.yml dit lesquelles.",
        "updates": "Des mises à jour de sécurité attendent : reliez le Pi à internet, puis sudo apt full-upgrade.",
        "not_known": "Quelque chose n'a pas pu être examiné : ansible-playbook playbooks/status.yml en dit plus.",
    },
}
"""By code what is wrong and what helps."""

SUBJECTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "maps": "Maps",
        "map_server": "Map server",
        "database": "Database",
        "docker": "Docker",
        "hotspot": "Own Wi-Fi",
        "power": "Power supply",
        "card": "Card",
        "disk": "Disk",
        "backup": "Backup",
        "memory": "Memory",
        "processor": "Processor",
        "clock": "Clock",
        "updates": "Security updates",
    },
    "fr": {
        "maps": "Cartes",
        "map_server": "Serveur de cartes",
        "database": "Base de données",
        "docker": "Docker",
        "hotspot": "Wi-Fi du Pi",
        "power": "Alimentation",
        "card": "Carte mémoire",
        "disk": "Disque",
        "backup": "Sauvegarde",
        "memory": "Mémoire",
        "processor": "Processeur",
        "clock": "Horloge",
        "updates": "Mises à jour de sécurité",
    },
}

FINE: Mapping[str, Mapping[str, str]] = {
    "en": {
        "maps": "Each map draws.",
        "map_server": "It works.",
        "database": "It works.",
        "docker": "It works.",
        "hotspot": "It is open, and gives addresses and names.",
        "power": "The voltage is good.",
        "card": "No errors were seen.",
        "disk": "There is room.",
        "backup": "The newest is recent, and one was restored for trial.",
        "memory": "There is enough.",
        "processor": "It keeps up, and is not too hot.",
        "clock": "Nothing speaks against it.",
        "updates": "None is known to wait.",
    },
    "fr": {
        "maps": "Chaque carte se dessine.",
        "map_server": "Il fonctionne.",
        "database": "Elle fonctionne.",
        "docker": "Il fonctionne.",
        "hotspot": "Il est ouvert, et donne adresses et noms.",
        "power": "La tension est bonne.",
        "card": "Aucune erreur n'a été vue.",
        "disk": "Il y a de la place.",
        "backup": "La plus récente n'est pas vieille, et une a été restaurée à l'essai.",
        "memory": "Il y en a assez.",
        "processor": "Il suit, et n'est pas trop chaud.",
        "clock": "Rien ne s'y oppose.",
        "updates": "Aucune n'est connue.",
    },
}
"""What is said of a subject with which nothing is wrong."""

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "fine": "Everything is fine.",
        "attention": "It works, but something needs attention.",
        "broken": "Something does not work.",
        "not_told": "This Pi does not tell.",
        "old": "Nobody has looked at this Pi for more than five minutes: what follows is old. Restart the Pi; if it "
        "stays so, ansible-playbook site.yml mends it.",
        "as_of": "As of {when} UTC.",
        "picture_of": "Picture of {when} UTC",
        "no_picture": "no picture yet",
        "does_not_draw": "does not draw",
        "other_language": "En français",
        "maps": "Maps",
        "no_maps": "No map is open to everybody.",
        "to_the_maps": "To the maps",
        "catalogue": "All maps",
        "sign_in": "Sign in",
        "state": "State of this Pi",
        "see_state": "See what, and what helps",
        "operator": "For the operator",
        "operator_can": "The operator can restart this from here.",
        "order": "What this Pi is to do",
        "password": "Password of the operator's page",
        "give": "Do it",
        "restart-map-server": "Restart the map server",
        "restart-database": "Restart the database",
        "support": "Save what support needs: logs and state, without secrets",
        "shut-down": "Shut the Pi down",
        "to_the_state": "State of this Pi",
        "rebuild": "Without a laptop and without internet, whoever may log in to this Pi rebuilds both containers "
        "there, and the data stay: {commands}.",
    },
    "fr": {
        "fine": "Tout est en ordre.",
        "attention": "Il fonctionne, mais quelque chose demande votre attention.",
        "broken": "Quelque chose ne fonctionne pas.",
        "not_told": "Ce Pi ne le dit pas.",
        "old": "Personne n'a examiné ce Pi depuis plus de cinq minutes : ce qui suit est ancien. Redémarrez le Pi ; si "
        "cela reste, ansible-playbook site.yml le répare.",
        "as_of": "État au {when} UTC.",
        "picture_of": "Image du {when} UTC",
        "no_picture": "pas encore d'image",
        "does_not_draw": "ne se dessine pas",
        "other_language": "In English",
        "maps": "Cartes",
        "no_maps": "Aucune carte n'est ouverte à tous.",
        "to_the_maps": "Vers les cartes",
        "catalogue": "Toutes les cartes",
        "sign_in": "Se connecter",
        "state": "État de ce Pi",
        "see_state": "Voir quoi, et ce qui aide",
        "operator": "Pour l'opérateur",
        "operator_can": "L'opérateur peut relancer ceci d'ici.",
        "order": "Ce que ce Pi doit faire",
        "password": "Mot de passe de la page de l'opérateur",
        "give": "Faire",
        "restart-map-server": "Relancer le serveur de cartes",
        "restart-database": "Relancer la base de données",
        "support": "Enregistrer ce dont le support a besoin : journaux et état, sans secrets",
        "shut-down": "Éteindre le Pi",
        "to_the_state": "État de ce Pi",
        "rebuild": "Sans portable et sans internet, qui peut se connecter à ce Pi y reconstruit les deux conteneurs, "
        "et les données restent : {commands}.",
    },
}

ORDERED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "restart-map-server": "The map server restarts. In a minute or two, its state tells whether it works.",
        "restart-database": "The database restarts. In a minute or two, its state tells whether it works.",
        "shut-down": "The Pi shuts down once the database has ended. Wait until its green light stays off, then unplug "
        "it. It starts again when it gets power.",
        "too_soon": "The same was asked for a moment ago. Wait a minute.",
        "busy": "This Pi is at work: on another order, or on a run from a laptop. Try again in a few minutes.",
        "missing": "There is no such container: ansible-playbook site.yml brings what is missing.",
        "failed": "It failed: ansible-playbook playbooks/status.yml tells more.",
        "unknown": "This Pi does not know that order: ansible-playbook site.yml brings both up to date.",
        "not_understood": "Choose what is to be done, and give the password.",
        "wrong_password": "Wrong password.",
        "guessing": "Too many wrong passwords from your address. Wait a moment, then try again.",
        "needs_https": "Open this page by HTTPS: without it, others in this network could read the password.",
    },
    "fr": {
        "restart-map-server": "Le serveur de cartes redémarre. Dans une minute ou deux, l'état du Pi dit s'il marche.",
        "restart-database": "La base de données redémarre. Dans une minute ou deux, l'état du Pi dit si elle marche.",
        "shut-down": "Le Pi s'éteint dès que la base de données a fini. Attendez que sa lumière verte reste éteinte, "
        "puis débranchez-le. Il redémarre dès qu'il a du courant.",
        "too_soon": "La même chose vient d'être demandée. Attendez une minute.",
        "busy": "Ce Pi est occupé par une autre demande, ou par un ordinateur qui le déploie. Réessayez plus tard.",
        "missing": "Il n'y a pas un tel conteneur : ansible-playbook site.yml apporte ce qui manque.",
        "failed": "Cela a échoué : ansible-playbook playbooks/status.yml en dit plus.",
        "unknown": "Ce Pi ne connaît pas cette demande : ansible-playbook site.yml met les deux à jour.",
        "not_understood": "Choisissez ce qu'il doit faire, et donnez le mot de passe.",
        "wrong_password": "Mot de passe faux.",
        "guessing": "Trop de mots de passe faux de votre adresse. Attendez un instant, puis réessayez.",
        "needs_https": "Ouvrez cette page en HTTPS : sinon, d'autres sur ce réseau pourraient lire le mot de passe.",
    },
}
"""What the operator's page says to an order, and to what is none."""
