"""The roll-up of notifications: consecutive ranges of ids, the counts of each, and the totals of hours."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Integer
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type
from notifier.states import Status


class StatisticsRange(Table, table=True):
    """A range of notification ids that is counted in one step. It ends before the first id of the next range.

    The migration writes the first range, which begins below every id.
    """

    __tablename__ = "statistics_range"
    __table_args__ = (Index("ix_statistics_range_due_at", "due_at"),)

    first_id: UUID = Field(primary_key=True)
    counted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # its counts are at least as recent
    due_at: datetime = Field(sa_type=UtcDateTime)  # when it is counted again
    revision: int = 0  # goes up with each count


class StatisticsCount(Table, table=True):
    """How many notifications of a range share all of these values."""

    __tablename__ = "statistics_count"
    __table_args__ = (
        Index("ix_statistics_count_service_id_quarter", "service_id", "quarter"),
        Index("ix_statistics_count_quarter", "quarter"),
    )

    first_id: UUID = Field(primary_key=True)  # of the range
    # Quarters of an hour since 1970 in which it was created. All time zones of today begin their days with one.
    quarter: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    service_id: UUID = Field(primary_key=True)
    template_id: UUID = Field(primary_key=True)  # INSTANCE: the request contained the content
    status: Status = Field(primary_key=True, sa_type=build_enum_type(Status, "status"))
    reason: str = Field(primary_key=True, max_length=24)  # "": none
    # Number of the bucket of the time to 250; -1: no attempt was accepted.
    bucket: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    number: int


class StatisticsHour(Table, table=True):
    """How many notifications of an hour have a status and reason, or a bucket: the sum over ranges and templates."""

    __tablename__ = "statistics_hour"
    __table_args__ = (Index("ix_statistics_hour_hour", "hour"),)

    service_id: UUID = Field(primary_key=True)  # INSTANCE: of all services together
    hour: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})  # since 1970
    measure: str = Field(primary_key=True, max_length=64)  # "failed:template", "sent:", or "7": a bucket
    number: int
