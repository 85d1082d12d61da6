"""A shop whose orders and mails share a transaction: an order without its mail, or the reverse, cannot be."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import Connection, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from notifier.client import WebhookVerificationError, WebhookVerifier, producer

engine = create_async_engine(os.environ.get("SHOP_DATABASE_URL", "sqlite+aiosqlite:///shop.sqlite3"))
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The shop's tables; the mails that wait are one of them."""


producer.define_table(Base.metadata)


class Order(Base):
    """What a customer has bought."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    address: Mapped[str]
    mail_id: Mapped[str | None]  # the row of the producer table, while there is one
    notification_id: Mapped[str | None]  # what it has become at Notifier
    mail_status: Mapped[str | None]  # what Notifier's webhook said last


class Wanted(BaseModel):
    """What a customer sends."""

    customer: str
    address: str


def _note(connection: Connection, forwarded: Sequence[producer.Forwarded]) -> None:
    """Keep the notifications' ids, in the transaction that deletes the rows."""
    for one in forwarded:
        order = update(Order).where(Order.mail_id == str(one.id))
        connection.execute(order.values(notification_id=str(one.notification_id)))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The forwarder runs as long as the shop does."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    url, key = os.environ["NOTIFIER_URL"], os.environ["NOTIFIER_API_KEY"]
    async with producer.Forwarder(engine, url=url, key=key, on_accepted=_note) as forwarder:
        app.state.forwarder = forwarder
        yield
    await engine.dispose()


app = FastAPI(title="Shop", lifespan=lifespan)


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


InSession = Annotated[AsyncSession, Depends(_session)]


@app.post("/orders", status_code=201)
async def take_order(wanted: Wanted, session: InSession) -> dict[str, int]:
    """The order and its mail, or neither."""
    order = Order(customer=wanted.customer, address=wanted.address)
    session.add(order)
    await session.flush()  # gives the order its number
    mail: dict[str, Any] = {"template": "welcome", "variables": {"name": wanted.customer, "product": "Larkspur"}}
    try:
        row = await producer.enqueue_async(session, to=wanted.address, metadata={"order": str(order.id)}, **mail)
    except producer.UnsendableError as error:
        raise HTTPException(422, str(error)) from error
    order.mail_id = str(row)
    await session.commit()
    app.state.forwarder.wake()
    return {"id": order.id}


@app.get("/orders/{number}")
async def show_order(number: int, session: InSession) -> dict[str, str | None]:
    """The order, and what is known of its mail."""
    order = await session.get(Order, number)
    if order is None:
        raise HTTPException(404)
    return {"customer": order.customer, "notification_id": order.notification_id, "mail_status": order.mail_status}


@app.post("/webhooks/notifier", status_code=204)
async def told_by_notifier(request: Request, session: InSession) -> None:
    """What became of a mail; believed only with Notifier's signature."""
    try:
        verifier = WebhookVerifier(os.environ["SHOP_WEBHOOK_SECRET"])
        told = verifier.verify(await request.body(), request.headers)
    except (KeyError, WebhookVerificationError) as error:
        raise HTTPException(400) from error
    status = told.type.removeprefix("notification.")
    number = (told.data.get("metadata") or {}).get("order", "")
    order = update(Order).where(Order.id == int(number)) if number.isdecimal() else None
    if order is not None:  # by its own number: the webhook may be faster than the reply with the notification's id
        await session.execute(order.values(mail_status=status))
    await session.commit()
