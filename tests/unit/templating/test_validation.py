"""Check results as faults of a request, and the API's copy of the settings."""

import msgspec
import pytest

from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES
from notifier.api.templates.request_models import SettingsIn
from notifier.errors import InvalidRequestError
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSettings
from notifier.template_lint.lint_remark import LintRemark, Severity
from notifier.templating import validation


def _checked(*, faults: list[RenderFault], remarks: list[LintRemark]) -> SourceCheck:
    return SourceCheck(faults=faults, remarks=remarks, variables_schema={}, subject_paths=[], previews={})


def _remark(severity: Severity) -> LintRemark:
    return LintRemark(
        severity=severity, code="no_title", file="locales/de/body.html", line=3, message="No.", advice="Do."
    )


def test_an_error_keeps_it_from_being_published_and_a_warning_does_not() -> None:
    """Faults come first, with a pointer to their file; an error has its own code."""
    warned = _checked(faults=[], remarks=[_remark(Severity.WARNING)])
    validation.require_publishable(warned)
    blocked = _checked(faults=[], remarks=[_remark(Severity.WARNING), _remark(Severity.ERROR)])
    validation.require_renderable(blocked)
    with pytest.raises(InvalidRequestError) as caught:
        validation.require_publishable(blocked)
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.code) == ("/files/locales~1de~1body.html", "template_blocked")
    assert "line 3: No. Do." in fault.detail
    broken = _checked(faults=[RenderFault(part="body.html", line=2, message="no")], remarks=[_remark(Severity.ERROR)])
    with pytest.raises(InvalidRequestError) as caught:
        validation.require_publishable(broken)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/files/body.html", "template_failed")]


def test_every_kind_of_fault_is_explained() -> None:
    """Every fault code of rendering is in the catalogue."""
    assert set(FaultCode) <= set(PROBLEM_ENTRIES)


def test_the_api_knows_every_setting() -> None:
    """The API has the same setting names and defaults as `template.toml`."""
    text = SettingsIn(name="x").model_dump(mode="json", by_alias=True)
    assert text == msgspec.to_builtins(TemplateSettings(name="x"), builtin_types=()) | {
        name: list(text[name]) for name in ("optional", "public", "secret", "link_schemes")
    }
