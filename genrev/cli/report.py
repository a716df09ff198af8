"""genrev report: makes the report of a saved comparison again."""

from __future__ import annotations

from dataclasses import dataclass

from genrev.cli.options import TheFolder
from genrev.cli.steps import tell


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make the report of a saved comparison again: the page, the Markdown and the CSV.

    Args:
        folder: folder that genrev compare wrote.
    """

    folder: TheFolder

    def run(self) -> None:
        """Write the files anew, each whole or not at all, and print their paths.

        Raises:
            FileError: the folder holds no comparison of this format, or can't be written to.
        """
        from genrev.comparison import Comparison

        for path in Comparison.load(self.folder).save_report(self.folder):
            tell(f"report   {path}")
