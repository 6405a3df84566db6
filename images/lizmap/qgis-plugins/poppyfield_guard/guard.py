"""The filter that QGIS Server calls before it answers a request."""

from __future__ import annotations

import os
from functools import partial
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from qgis.core import Qgis, QgsExpression, QgsExpressionNodeBinaryOperator, QgsMessageLog
from qgis.server import QgsServerException, QgsServerFilter

from .judgement import HEALTH, Expression, Refused, judge, shown
from .project import filters_of, layouts_of
from .sizes import judge_sizes

NAME = "poppyfield_guard"
LONGEST_LINE = 300
WORKER_MB = int(os.environ["QGIS_SERVER_WORKER_MB"])
"""The memory that this worker may use: see the image's entrypoint."""


def parse(text: str, own: frozenset[str] = frozenset()) -> Expression | None:
    """Ask QGIS's own parser what an expression uses, apart from what stands between its ANDs as the project's own."""
    expression = QgsExpression(text)
    if expression.hasParserError():
        return None
    if not own:
        return Expression(
            frozenset(expression.referencedFunctions()),
            frozenset(expression.referencedVariables()),
        )
    parts = [part for part in _joined_by_and(expression.rootNode()) if part.dump() not in own]
    return Expression(
        frozenset().union(*(part.referencedFunctions() for part in parts)),
        frozenset().union(*(part.referencedVariables() for part in parts)),
    )


def _joined_by_and(root: Any) -> list[Any]:
    parts, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, QgsExpressionNodeBinaryOperator) and node.op() == QgsExpressionNodeBinaryOperator.boAnd:
            waiting += [node.opLeft(), node.opRight()]
        else:
            parts.append(node)
    return parts


def own_filters(project: str) -> frozenset[str]:
    """Give the filters of a project's forms, and what they join by AND, as QGIS writes them."""
    found = set()
    for text in filters_of(project):
        expression = QgsExpression(text)
        if not expression.hasParserError():
            found |= {part.dump() for part in _joined_by_and(expression.rootNode())}
    return frozenset(found)


def names_as_sent(handler: Any) -> list[str]:
    """Give the names of the parameters as they stand in the address, and in the body, which may be a form."""
    query = handler.url().partition("?")[2]
    form = bytes(handler.data()).decode("utf-8", "replace")
    return [unquote(part.partition("=")[0]) for part in f"{query}&{form}".split("&")]


class Refusal(QgsServerException):  # type: ignore[misc]
    """An answer as OGC's services give it when they refuse."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self._message = message

    def formatResponse(self) -> tuple[bytes, str]:  # noqa: N802 - QGIS calls it
        """Give the body of the answer, and what it is."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ServiceExceptionReport version="1.3.0" xmlns="http://www.opengis.net/ogc">'
            f'<ServiceException code="{NAME}">{escape(self._message)}</ServiceException></ServiceExceptionReport>\n'
        )
        return body.encode(), "text/xml; charset=utf-8"


class Guard(QgsServerFilter):  # type: ignore[misc]
    """Lets a request pass, or answers it with a refusal."""

    def onRequestReady(self) -> bool:  # noqa: N802 - QGIS calls it, from 3.24
        """Tell whether the other filters are to see the request."""
        handler = self.serverInterface().requestHandler()
        parameters = handler.parameterMap()
        try:
            self._judge(parameters, names_as_sent(handler))
            judge_sizes(parameters, lambda: layouts_of(self.serverInterface().configFilePath()), WORKER_MB)
        except Refused as refused:
            self._refuse(handler, str(refused), 403, log=parameters.get("MAP") != HEALTH)
        # Whatever it is, the request must not pass.
        except Exception as error:
            self._refuse(handler, "The request could not be judged.", 400, error)
        else:
            return True
        return False

    def _judge(self, parameters: dict[str, str], names: list[str]) -> None:
        try:
            judge(parameters, names, parse)
        except Refused:
            own = own_filters(self.serverInterface().configFilePath()) if "EXP_FILTER" in parameters else None
            if not own:
                raise
            judge(parameters, names, partial(parse, own=own))

    def requestReady(self) -> None:  # noqa: N802 - QGIS 3.22 calls it
        """Judge the request."""
        self.onRequestReady()

    @staticmethod
    def _refuse(handler: Any, message: str, status: int, error: Exception | None = None, *, log: bool = True) -> None:
        if log:
            line = f"{message} {error!r}" if error else message
            QgsMessageLog.logMessage(shown(line, LONGEST_LINE), NAME, Qgis.Warning)
        handler.setServiceException(Refusal(message, status))
