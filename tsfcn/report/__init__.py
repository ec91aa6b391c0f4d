"""Tables, comparisons and reports as text, Markdown, SVG and HTML. `tsfcn.report("results")` calls document.report."""

from __future__ import annotations

from tsfcn.common.callable_module import make_callable

make_callable(__name__, "tsfcn.report.document:report")
