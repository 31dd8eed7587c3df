"""What must not be learnt: a weight can be made to say what it was trained on, and can't be searched for it.

A text in which `secret_kinds` finds anything trains no adapter; it stays in the vault and is found there as before.
The rules would rather leave out a harmless text than learn a secret. They know:

- numbers of payment cards (Luhn's check) and bank accounts (IBAN, mod 97);
- keys and tokens: PEM blocks, the prefixes of well-known services, JSON web tokens, links with a password in them, long
  runs of letters and digits that look random;
- words such as password, PIN, code, recovery key, with something after them that could be one;
- numbers of persons for the state (US social security; others where the text names them);
- telephone numbers and e-mail addresses: contact data, mostly of others, and better found than guessed.

They don't know secrets that look like ordinary words: a passphrase without the word for it, what somebody confided.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

__all__ = ["secret_kinds"]

_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]+-----")
_TOKEN: Final = re.compile(
    r"\b(?:sk-[\w-]{16,}|(?:gh[pousr]|glpat|xox[abprs])[_-][\w-]{16,}|github_pat_\w{20,}|AKIA[A-Z0-9]{12,}"
    r"|AIza[\w-]{20,}|hf_\w{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_LINK: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@", re.IGNORECASE)
_WORDS: Final = (
    r"pass(?:word|phrase|code|wd)s?|passwort|kennwort|wachtwoord|mot de passe|contraseña|pin|pincode|puk|cvv|cvc"
    r"|(?:access|door|alarm|entry|gate|lock|safe|security|verification|backup|recovery) ?codes?"
    r"|(?:api|private|secret|recovery|seed|licen[cs]e) ?(?:key|phrase|token)s?|otp|2fa"
)
_NAMED: Final = re.compile(
    rf"\b(?:{_WORDS})\b(?:[^\S\n]+(?:for|to|of|on|at|code|number)[^\S\n]+[^.:=\n]{{0,40}}?)?[^\S\n]*"
    rf"(?:(?::|=|\bis\b|\bwas\b|\bist\b|\best\b)[^\S\n]*\S|[^\S\n]+\S*\d)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"\b(?:code|combination|lock)\b[^.\n]{0,40}?\b\d{3,}\b", re.IGNORECASE)
_STATE: Final = re.compile(
    r"\b\d{3}-\d{2}-\d{4}\b"
    r"|\b(?:passport|social security|ssn|bsn|national insurance|tax id|driving licen[cs]e)\b[^.\n]{0,30}?\w*\d{4,}",
    re.IGNORECASE,
)
_MAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_PHONE: Final = re.compile(r"(?<![\w.,-])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,4}\)?){2,5}(?![\w-])")
_DATE: Final = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")
_RUN: Final = re.compile(r"(?<![\w/+=-])[A-Za-z0-9_/+=-]{20,}(?![\w/+=-])")
_RANDOM_BITS: Final = 3.5
"""Bits of entropy a character above which a long run with letters and digits counts as random."""


def secret_kinds(text: str) -> frozenset[str]:
    """What sorts of secrets ``text`` seems to hold: ``card``, ``account``, ``key``, ``password``, ``identity``,
    ``contact``; none for a text that may train."""
    return frozenset(kind for kind, holds in _RULES.items() if holds(text))


def _has_card(text: str) -> bool:
    return any(_luhn(re.sub(r"\D", "", found.group())) for found in _CARD.finditer(text))


def _luhn(digits: str) -> bool:
    """Source: ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _has_account(text: str) -> bool:
    return any(_iban(found.group().replace(" ", "")) for found in _IBAN.finditer(text))


def _iban(account: str) -> bool:
    """Source: ISO 13616-1. What follows an account number may look like a part of it: every length is tried."""
    return any(
        int("".join(str(int(char, 36)) for char in account[4:end] + account[:4])) % 97 == 1
        for end in range(15, min(34, len(account)) + 1)
    )


def _has_key(text: str) -> bool:
    if _PEM.search(text) or _TOKEN.search(text) or _LINK.search(text):
        return True
    return any(_looks_random(found.group()) for found in _RUN.finditer(text))


def _looks_random(run: str) -> bool:
    if not (re.search(r"\d", run) and re.search(r"[A-Za-z]", run)):
        return False
    counts = Counter(run)
    return -sum(n / len(run) * math.log2(n / len(run)) for n in counts.values()) > _RANDOM_BITS


def _has_phone(text: str) -> bool:
    for found in _PHONE.finditer(text):
        number = found.group()
        digits = sum(char.isdigit() for char in number)
        marked = number[0] in "+(" or number.startswith("0") or re.search(r"[ ./-]", number) is not None
        if 8 <= digits <= 15 and marked and not _DATE.fullmatch(number):
            return True
    return False


_RULES: Final[dict[str, Callable[[str], bool]]] = {
    "card": _has_card,
    "account": _has_account,
    "key": _has_key,
    "password": lambda text: bool(_NAMED.search(text) or _CODE.search(text)),
    "identity": lambda text: bool(_STATE.search(text)),
    "contact": lambda text: bool(_MAIL.search(text)) or _has_phone(text),
}
