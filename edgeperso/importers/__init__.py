"""Other people's formats, read into records and stored: folders of Markdown and text, JSONL, mbox, ChatGPT exports."""

from edgeperso.importers.report import ImportReport, Reason, Skip
from edgeperso.importers.run import IMPORTERS, Cancel, import_path
from edgeperso.importers.source import Context, FileRejected, Importer, SourceFile

__all__ = [
    "IMPORTERS",
    "Cancel",
    "Context",
    "FileRejected",
    "ImportReport",
    "Importer",
    "Reason",
    "Skip",
    "SourceFile",
    "import_path",
]
