"""What a mail's writer wrote: without the mail it answers, without signature, what was forwarded set apart.

Each mail's words are stored once, under who wrote them. So a quoted reply never speaks with the answering person's
trust, and a forwarded text not with the forwarder's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["MailText", "own_words"]

_QUOTED: Final = re.compile(r"^ {0,3}>")
_VERB: Final = re.compile(
    r"\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev)\b.{0,200}:$"
    r"|<[^<>\s@]{1,100}@[^<>\s@]{1,255}>.{0,40}:$"
)
_LATE_VERB: Final = re.compile(r"^(?:On|Am|Le|El|Il|Op|Em|Den)\b.{6,300}:$")
_ORIGINAL: Final = re.compile(
    r"^[-_ ]{2,}\s?(?:Original Message|Ursprüngliche Nachricht|Original-?Nachricht|Message d['’]origine|"
    r"Mensaje original|Messaggio originale|Oorspronkelijk bericht|Mensagem original)\s?[-_ ]{2,}$",
    re.IGNORECASE,
)
_FORWARDED: Final = re.compile(
    r"^[-_ ]{2,}\s?(?:Forwarded (?:message|by .{1,80})|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado|"
    r"Messaggio inoltrato|Doorgestuurd bericht|Mensagem encaminhada)\s?[-_ ]{2,}$"
    r"|^(?:Begin forwarded message|Anfang der weitergeleiteten Nachricht|Début du message transféré):$",
    re.IGNORECASE,
)
_FIELD: Final = re.compile(
    r"^\*?(From|Von|De|Da|Van|Sent|Gesendet|Envoyé|Enviado|Inviato|Verzonden|Date|Datum|Fecha|Data|To|An|À|Para|A|Aan|"
    r"Cc|Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Reply-To)\s?:\*?(?:\s|$)"
)
_FROM_FIELDS: Final = frozenset({"From", "Von", "De", "Da", "Van"})
_MOBILE: Final = re.compile(
    r"^(?:Sent from (?:my|Mail|Outlook|Yahoo)|Get Outlook for|Von meinem .{1,40} gesendet|Envoyé d(?:e|epuis) mon|"
    r"Enviado desde mi|Inviato da|Verzonden vanaf mijn)\b.{0,80}$",
    re.IGNORECASE,
)
_LIST_FOOTER: Final = re.compile(r"^_{40,}$")
_SIGNATURE_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class MailText:
    """``own``: what the sender wrote. ``forwarded``: what they passed on, of somebody else; often empty."""

    own: str
    forwarded: str


def own_words(text: str) -> MailText:
    """Sort the lines of a mail's cleaned body."""
    lines = text.split("\n")
    cut, forwarded = len(lines), ""
    for index, line in enumerate(lines):
        if _FORWARDED.match(line):
            cut, forwarded = index, _unquoted(lines[index + 1 :])
            break
        if _ORIGINAL.match(line) or _is_header_block(lines, index) or _is_late_attribution(lines, index):
            cut = index
            break
    own = _without_signature(_without_quotes(lines[:cut]))
    return MailText(own="\n".join(own).strip("\n"), forwarded=forwarded)


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    quoting = False
    for line in lines:
        if _QUOTED.match(line):
            if not quoting:
                _drop_attribution(kept)
            quoting = True
            continue
        if line.strip():
            quoting = False
        kept.append(line)
    return kept


def _drop_attribution(kept: list[str]) -> None:
    """Remove "On … wrote:", on one line or wrapped over two or three, from the end of ``kept``."""
    end = len(kept)
    while end and not kept[end - 1].strip():
        end -= 1
    if not end or not kept[end - 1].rstrip().endswith(":"):
        return
    for count in (1, 2, 3):
        start = end - count
        if start < 0 or not kept[start].strip():
            return
        joined = " ".join(line.strip() for line in kept[start:end])
        if _LATE_VERB.match(joined) or (count == 1 and _VERB.search(joined)):
            del kept[start:]
            return


def _is_late_attribution(lines: list[str], index: int) -> bool:
    """ "On 3 March 2024 at 10:12, Ann <ann@x.org> wrote:" with the mail it answers below it unmarked."""
    for count in (1, 2, 3):
        part = lines[index : index + count]
        if not all(line.strip() for line in part):
            return False
        if not part[-1].rstrip().endswith(":"):
            continue
        joined = " ".join(line.strip() for line in part)
        dated = any(map(str.isdigit, joined)) and ("@" in joined or re.search(r"\d{1,2}[:.h]\d{2}", joined))
        if not (dated and _LATE_VERB.match(joined) and _VERB.search(joined)):
            continue
        below = [line for line in lines[index + count : index + count + 4] if line.strip()]
        return not any(_QUOTED.match(line) for line in below)
    return False


def _is_header_block(lines: list[str], index: int) -> bool:
    """The head of a mail pasted into another: From:, then at least two more fields on the next lines."""
    first = _FIELD.match(lines[index])
    if first is None or first[1] not in _FROM_FIELDS:
        return False
    names = {match[1] for line in lines[index + 1 : index + 6] if (match := _FIELD.match(line))}
    return len(names) >= 2


def _unquoted(lines: list[str]) -> str:
    """A forwarded mail's own words: without the marks that some programs put before each line."""
    full = [line for line in lines if line.strip()]
    if full and sum(1 for line in full if _QUOTED.match(line)) * 2 > len(full):
        lines = [re.sub(r"^ {0,3}> ?", "", line) for line in lines]
    while lines and (not lines[0].strip() or _FIELD.match(lines[0])):
        lines = lines[1:]
    return "\n".join(_without_signature(_without_quotes(lines))).strip("\n")


def _without_signature(lines: list[str]) -> list[str]:
    for index, line in enumerate(lines):
        if line.rstrip() == "--" and len(lines) - index <= _SIGNATURE_LINES:
            lines = lines[:index]
            break
        if _LIST_FOOTER.match(line) and len(lines) - index <= 8:
            lines = lines[:index]
            break
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    if end and _MOBILE.match(lines[end - 1]):
        lines = lines[: end - 1]
    return lines
