"""What the steps of a merge share: the parts of the process, and what they load before each step."""

from dataclasses import dataclass
from uuid import UUID

from notifier.auth import authenticator
from notifier.auth.authenticated_key import Caller
from notifier.db.engine import Database
from notifier.job_states import MergeState
from notifier.jobs.job_action import JobFailedError, JobRunView
from notifier.merge import merge_store
from notifier.merge.merge_files import FilePlace, MergeFile, MergeFiles
from notifier.merge.merge_view import MergeFileGoneError, MergeView
from notifier.merge.row_request import build_mapping
from notifier.merge.row_validation import RowValidator
from notifier.settings import ApiSettings
from notifier.spreadsheet.sheet_row import SpreadsheetError
from notifier.templating.version_store import PublishedVersion, TemplateCache

TEMPLATE_GONE = "the template was deleted: restore it, and retry the job"
SERVICE_GONE = "the key that uploaded the file belongs to no service any more"


@dataclass(frozen=True, kw_only=True)
class LoadedMerge:
    """A merge with what its rows are validated by."""

    view: MergeView
    caller: Caller
    version: PublishedVersion


class MergeContext:
    """The parts of the process that the steps of merges use."""

    def __init__(
        self, database: Database, validator: RowValidator, templates: TemplateCache, settings: ApiSettings
    ) -> None:
        self.database = database
        self.validator = validator
        self.files = MergeFiles(database)
        self._templates = templates
        self._settings = settings

    async def load_merge(self, run: JobRunView) -> LoadedMerge:
        """Load the merge of a run. Raises `JobFailedError`."""
        async with self.database.read() as connection:
            view = await merge_store.find_merge(connection, run.subject_id or UUID(int=0))
            if view is None:
                raise JobFailedError("the merge was deleted")
            if view.state is MergeState.CANCELLED:
                raise JobFailedError("the merge was cancelled: upload the file again")
            caller = await authenticator.find_caller(connection, view.key_id)
        if caller is None or caller.service_id != view.service_id:
            raise JobFailedError(SERVICE_GONE)
        version = await self._templates.get_version(view.template, view.template_version)
        if version is None or await self._templates.get_version(view.template) is None:
            raise JobFailedError(TEMPLATE_GONE)
        return LoadedMerge(view=view, caller=caller, version=version)

    async def open_file(
        self, run: JobRunView, merge: LoadedMerge, *, after: FilePlace, has_statistics: bool
    ) -> MergeFile:
        """Open the file, to be read behind `after`, and match its headings. Raises `JobFailedError`."""
        try:
            file = await self.files.get_file(
                run.id,
                merge.view.id,
                lambda headings: build_mapping(headings, merge.version.variables_schema, merge.view),
                after=after,
                has_statistics=has_statistics,
            )
        except (SpreadsheetError, MergeFileGoneError) as error:
            await self.files.close_file(run.id)
            raise JobFailedError(str(error)) from error
        return file

    def get_quota(self, caller: Caller) -> int:
        """Get how many mails the caller may submit in a minute; 0: any number."""
        settings = self._settings
        key = settings.rate_per_minute if caller.key_rate is None else caller.key_rate
        service = settings.service_rate_per_minute if caller.service_rate is None else caller.service_rate
        return min((quota for quota in (key, service) if quota), default=0)
