"""Every error that edgeperso raises on purpose, in one tree.

::

    EdgepersoError                    exit 1   base; catch this
    ├── UsageError                    exit 2   the call itself is wrong
    │   └── ExtraMissing                       it needs libraries of an extra that isn't installed
    ├── UnlockError                   exit 3   the vault can't be unlocked
    │   ├── WrongKey                           wrong passphrase, key file or recovery key
    │   │   └── RecoveryKeyMistyped            not a whole recovery key: a typing error
    │   ├── KeyFileInvalid                     the key file is missing or is not one of ours
    │   ├── KeyringUnavailable                 no keyring, or one that stores in plain text
    │   └── HeaderDamaged                      the key header is truncated or altered
    ├── VaultError                    exit 4   the vault's storage
    │   ├── VaultNotFound                      no vault in this home
    │   ├── VaultExists                        init where a vault already lies
    │   ├── VaultDamaged                       the database fails its checks
    │   ├── VaultTooNew                        written by a newer edgeperso
    │   ├── VaultBusy                          another process holds it for too long
    │   ├── PlaintextRefused                   a file would have been, or is, unencrypted
    │   ├── DiskFull
    │   ├── ReadOnly
    │   └── BackupInvalid                      a backup that doesn't verify
    ├── ModelError                    exit 5   model files and what runs them
    │   ├── ModelNotFound
    │   ├── ModelCorrupt                       damaged, or the wrong sha256
    │   ├── ModelUnsupported
    │   ├── EmbedderMismatch                   vectors of two embedders would be mixed
    │   ├── AdapterInvalid                     corrupt, oversized, or with values that are not numbers
    │   ├── AdapterMismatch                    an adapter for another base model
    │   ├── AdapterRefused                     the gate refused it, or it learnt what was forgotten
    │   └── DownloadFailed
    ├── InputError                    exit 6   what was given can't be read
    │   ├── SourceNotFound
    │   ├── SourceUnsupported
    │   ├── SourceUnsafe                       zip bomb, path outside the archive
    │   ├── EmptyQuestion
    │   ├── QuestionTooLong                    longer than the model's context
    │   └── DataInvalid                        an evaluation file or record is malformed
    ├── NotFound                      exit 1   no such memory, conversation, attribute, adapter
    ├── TooLittle                     exit 1   too few texts or preference pairs to learn from
    └── Cancelled                     exit 130 stopped by the person

Each class has a stable ``code`` (for programs), an ``exit_code`` (for shells) and a message that says what to do.
A message never holds a person's text or a key: name files, ids, counts and limits, nothing that was read.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AdapterInvalid",
    "AdapterMismatch",
    "AdapterRefused",
    "BackupInvalid",
    "Cancelled",
    "DataInvalid",
    "DiskFull",
    "DownloadFailed",
    "EdgepersoError",
    "EmbedderMismatch",
    "EmptyQuestion",
    "ExtraMissing",
    "HeaderDamaged",
    "InputError",
    "KeyFileInvalid",
    "KeyringUnavailable",
    "ModelCorrupt",
    "ModelError",
    "ModelNotFound",
    "ModelUnsupported",
    "NotFound",
    "PlaintextRefused",
    "QuestionTooLong",
    "ReadOnly",
    "RecoveryKeyMistyped",
    "SourceNotFound",
    "SourceUnsafe",
    "SourceUnsupported",
    "TooLittle",
    "UnlockError",
    "UsageError",
    "VaultBusy",
    "VaultDamaged",
    "VaultError",
    "VaultExists",
    "VaultNotFound",
    "VaultTooNew",
    "WrongKey",
]


class EdgepersoError(Exception):
    """Base of the tree: ``message`` says what is wrong, ``hint`` what to do about it."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_dict(self) -> dict[str, str]:
        """The error as ``--json`` prints it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class UsageError(EdgepersoError):
    code = "usage"
    exit_code = 2


class ExtraMissing(UsageError):
    code = "extra_missing"
    default_hint = 'Install the extra: `pip install "edgeperso[eval]"`.'


class UnlockError(EdgepersoError):
    code = "unlock"
    exit_code = 3


class WrongKey(UnlockError):
    code = "wrong_key"
    default_hint = "Try again, or open the vault with its recovery key (--recovery)."


class RecoveryKeyMistyped(WrongKey):
    code = "recovery_key_mistyped"
    default_hint = "Type it again, group by group, as it was printed; case, spaces and dashes don't matter."


class KeyFileInvalid(UnlockError):
    code = "key_file_invalid"
    default_hint = "Give the file that `edgeperso init` or `edgeperso key` wrote, or use the recovery key (--recovery)."


class KeyringUnavailable(UnlockError):
    code = "keyring_unavailable"
    default_hint = "Open the vault with a passphrase, a key file, or the recovery key (--recovery)."


class HeaderDamaged(UnlockError):
    code = "header_damaged"
    default_hint = "Restore header.json from a backup of the vault (`edgeperso restore`)."


class VaultError(EdgepersoError):
    code = "vault"
    exit_code = 4


class VaultNotFound(VaultError):
    code = "vault_not_found"
    default_hint = "Make one with `edgeperso init`, or point --home (EDGEPERSO_HOME) at it."


class VaultExists(VaultError):
    code = "vault_exists"
    default_hint = "Nothing was changed. Choose another --home to make a second vault."


class VaultDamaged(VaultError):
    code = "vault_damaged"
    default_hint = "Nothing was changed. Restore the last backup with `edgeperso restore`."


class VaultTooNew(VaultError):
    code = "vault_too_new"
    default_hint = "Nothing was changed. Upgrade edgeperso."


class VaultBusy(VaultError):
    code = "vault_busy"
    default_hint = "Close the other edgeperso process and try again."


class PlaintextRefused(VaultError):
    code = "plaintext_refused"
    default_hint = "Nothing was written to it. Move that file away and restore a backup."


class DiskFull(VaultError):
    code = "disk_full"
    default_hint = "What was finished is kept. Free some space and run the same command again."


class ReadOnly(VaultError):
    code = "read_only"
    default_hint = "Make the home writable, or choose another with --home."


class BackupInvalid(VaultError):
    code = "backup_invalid"
    default_hint = "Nothing was changed. Try another backup."


class ModelError(EdgepersoError):
    code = "model"
    exit_code = 5


class ModelNotFound(ModelError):
    code = "model_not_found"
    default_hint = "Fetch it with `edgeperso model pull NAME`, or give a path to a GGUF file."


class ModelCorrupt(ModelError):
    code = "model_corrupt"
    default_hint = "Delete it and fetch it again with `edgeperso model pull NAME`."


class ModelUnsupported(ModelError):
    code = "model_unsupported"


class EmbedderMismatch(ModelError):
    code = "embedder_mismatch"
    default_hint = "Run `edgeperso reindex`."


class AdapterInvalid(ModelError):
    code = "adapter_invalid"
    default_hint = (
        "Nothing was changed. Ask for the file again where it came from, or train one with `edgeperso train`."
    )


class AdapterMismatch(ModelError):
    code = "adapter_mismatch"
    default_hint = "Nothing was changed. Use the model that it was trained on (`edgeperso model use`), or train anew."


class AdapterRefused(ModelError):
    code = "adapter_refused"
    default_hint = "See why with `edgeperso adapter show`."


class DownloadFailed(ModelError):
    code = "download_failed"
    default_hint = "Check the connection and run the same command again: it goes on where it stopped."


class InputError(EdgepersoError):
    code = "input"
    exit_code = 6


class SourceNotFound(InputError):
    code = "source_not_found"


class SourceUnsupported(InputError):
    code = "source_unsupported"
    default_hint = "Importable: folders or files of Markdown and text, JSONL, mbox, a ChatGPT export zip."


class SourceUnsafe(InputError):
    code = "source_unsafe"
    default_hint = "Nothing was read from it."


class EmptyQuestion(InputError):
    code = "empty_question"
    default_hint = "Write a question."


class QuestionTooLong(InputError):
    code = "question_too_long"
    default_hint = "Shorten it, or use a model with a longer context."


class DataInvalid(InputError):
    code = "data_invalid"


class NotFound(EdgepersoError):
    code = "not_found"


class TooLittle(EdgepersoError):
    code = "too_little"
    default_hint = "Import or write more first."


class Cancelled(EdgepersoError):
    code = "cancelled"
    exit_code = 130
