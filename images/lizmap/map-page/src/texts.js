// What the page says, in French and English.

export const TEXTS = {
  en: {
    about: "This is the map page without Lizmap: look, switch layers, ask what is there.",
    attribution: "Sources:",
    background: "Background",
    backgroundFailed: "A part of the background could not be fetched.",
    close: "Close",
    crosshair: "Press Enter to ask what is in the middle of the map.",
    data: "Data of this map (OGC API Features)",
    emptyText:
      "Put a QGIS project (.qgs) into a folder below /srv/poppyfield/lizmap/projects on the Raspberry Pi. " +
      "If the folder is new, restart the container websig-lizmap. " +
      "A project that QGIS Server can't open, because its database does not answer, is not listed. Then try again.",
    emptyTitle: "No map is published yet",
    fit: "Show the whole map",
    layers: "Layers",
    legendFailed: "No legend.",
    licences: "Licences",
    loading: "The server prepares the map…",
    map: "Map",
    noBackground: "None",
    noFeature: "Nothing to tell about this place.",
    pictureFailed: "The server could not draw the map.",
    position: {
      accuracyUnknown: "accuracy unknown",
      dateRefused: "Its receiver's date is not believed, and does not set the clock.",
      hide: "Stop showing where the Pi is",
      isHere: "The Pi is here, not this device",
      mark: "Pi",
      noAnswer: "The Pi does not say where it is.",
      outside: "That is outside of this map.",
      show: "Show where the Pi is",
      states: {
        fix: "",
        "no fix": "The Pi's GPS receiver has no fix: put it under the open sky.",
        "no receiver": "No GPS receiver answers on the Pi: is it plugged in?",
      },
      wasHere: "The Pi was here, not this device, {age} ago",
    },
    project: "Map",
    projectFailedText: "QGIS Server could not open this project. Its database may still be starting.",
    projectFailedTitle: "This map can't be opened",
    queryFailed: "The server could not tell what is there.",
    result: "At this place",
    retry: "Try again",
    serverFailedText: "The Raspberry Pi may still be starting: the first minute is the longest.",
    serverFailedTitle: "The map server does not answer",
    states: {
      attention: "It works, but something needs attention: see what",
      broken: "Something does not work: see what helps",
      fine: "State of this Pi",
      old: "Nobody has looked at this Pi for more than five minutes: see what helps",
    },
    unknownProject: "The map in this link is not published here; this is another one.",
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
  },
  fr: {
    about: "Page cartographique sans Lizmap : regarder, choisir les couches, interroger un lieu.",
    attribution: "Sources :",
    background: "Fond de carte",
    backgroundFailed: "Une partie du fond de carte n'a pas pu être lue.",
    close: "Fermer",
    crosshair: "Appuyez sur Entrée pour interroger le milieu de la carte.",
    data: "Données de cette carte (OGC API Features)",
    emptyText:
      "Déposez un projet QGIS (.qgs) dans un dossier sous /srv/poppyfield/lizmap/projects sur le Raspberry Pi. " +
      "Si le dossier est nouveau, redémarrez le conteneur websig-lizmap. " +
      "Un projet que QGIS Server ne peut ouvrir, faute de base de données, n'est pas listé. Puis réessayez.",
    emptyTitle: "Aucune carte n'est encore publiée",
    fit: "Voir toute la carte",
    layers: "Couches",
    legendFailed: "Pas de légende.",
    licences: "Licences",
    loading: "Le serveur prépare la carte…",
    map: "Carte",
    noBackground: "Aucun",
    noFeature: "Rien à dire de ce lieu.",
    pictureFailed: "Le serveur n'a pas pu dessiner la carte.",
    position: {
      accuracyUnknown: "précision inconnue",
      dateRefused: "La date de son récepteur n'est pas crue et ne règle pas l'horloge.",
      hide: "Ne plus montrer où est le Pi",
      isHere: "Le Pi est ici, et non cet appareil",
      mark: "Pi",
      noAnswer: "Le Pi ne dit pas où il est.",
      outside: "C'est en dehors de cette carte.",
      show: "Montrer où est le Pi",
      states: {
        fix: "",
        "no fix": "Le récepteur GPS du Pi n'a pas de position : placez-le à ciel ouvert.",
        "no receiver": "Aucun récepteur GPS ne répond sur le Pi : est-il branché ?",
      },
      wasHere: "Le Pi était ici, et non cet appareil, il y a {age}",
    },
    project: "Carte",
    projectFailedText: "QGIS Server n'a pas pu ouvrir ce projet. Sa base de données démarre peut-être encore.",
    projectFailedTitle: "Impossible d'ouvrir cette carte",
    queryFailed: "Le serveur n'a pas pu interroger ce lieu.",
    result: "En ce lieu",
    retry: "Réessayer",
    serverFailedText: "Le Raspberry Pi démarre peut-être encore : la première minute est la plus longue.",
    serverFailedTitle: "Le serveur de cartes ne répond pas",
    states: {
      attention: "Il fonctionne, mais quelque chose demande votre attention : voir quoi",
      broken: "Quelque chose ne fonctionne pas : voir ce qui aide",
      fine: "État de ce Pi",
      old: "Personne n'a examiné ce Pi depuis plus de cinq minutes : voir ce qui aide",
    },
    unknownProject: "La carte de ce lien n'est pas publiée ici ; en voici une autre.",
    zoomIn: "Zoomer",
    zoomOut: "Dézoomer",
  },
};

/** The first language of the reader's that the page speaks; English otherwise. */
export function chooseLanguage(preferred) {
  const spoken = preferred.map((language) => language.toLowerCase().split("-")[0]);
  return spoken.find((language) => Object.hasOwn(TEXTS, language)) ?? "en";
}
