"""The client: enqueue pictures, search, delete, and see how it stands."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast
from weakref import WeakSet

from contract import (
    DELETE,
    MAX_EVENTS,
    MEMBERS,
    SEARCH,
    SEARCH_MANY,
    STATS,
    THUMBNAILS,
    VERSION,
    DeadLetter,
    Item,
    Member,
    MembersResult,
    ObjectEvent,
    Query,
    SearchManyResult,
    SearchResult,
    UploadEvent,
    decode_members,
)
from contract.thumbnails import DEFAULT_SIDE, ThumbnailsResult, decode_thumbnails
from producer.arguments import (
    Image,
    Scope,
    SearchArguments,
    delete_arguments,
    search_arguments,
    search_many_arguments,
    search_options,
)
from producer.backpressure import Backpressure
from producer.calls import Calls
from producer.connections import Connections
from producer.dead_letters import DeadLetters
from producer.enqueuing import EnqueueResult, encode_event, enqueue_all
from producer.long_jobs import LongJobs
from producer.publisher import Publisher
from producer.settings import ClientSettings
from producer.sharing import SharedBatches
from producer.status import Status, read_status

_T = TypeVar("_T")
_clients: "WeakSet[Client]" = WeakSet()


class Client(LongJobs):
    """Speaks to Lookalike for an application.

    One client serves all threads of a process, and all requests of a web application; it connects when it is first
    used. A process that forks (gunicorn with `--preload`) gets connections of its own in each child.

    `enqueue`, `enqueue_many`, `search`, `search_many`, `delete`, `status` and `close` have twins for async code, named
    with an `a`, which never block the loop: they run in 32 threads of the client's own, so 32 calls are under way at
    once and more wait their turn (`aenqueue` takes no thread, and knows no such limit). A twin that is cancelled leaves
    its call to run to its end. What reads page by page, and long jobs, have none: `asyncio.to_thread` runs them.

    All methods raise `ServiceUnavailable` when Redis, the broker or a worker does not answer, `InvalidMessage` before
    anything is sent when an argument does not fit the contract, and no error of Celery, kombu or redis-py.

    Args:
        settings: where the others are; `from_env` reads them from the environment.

    Raises:
        SettingsError: an address cannot be used; the message names its variable.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._connect()
        _clients.add(self)

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment: `LOOKALIKE_BROKER_URL` and, where they differ from it, the others.

        Returns:
            A client that is not connected yet: nothing connects before it is used.

        Raises:
            SettingsError: naming the variable.
        """
        return cls(ClientSettings.from_env())

    def close(self) -> None:
        """Send what waits, wait for the calls of async code that are under way, and close all connections."""
        _clients.discard(self)
        self._shared.close()
        self._connections.close()

    def enqueue(self, object_key: str, *, meta_id: int, company_id: int) -> str:
        """Have a picture indexed, soon.

        Calls that are made at once, by many threads or coroutines, share messages: while one is on its way, the next
        gathers.

        Args:
            object_key: of the picture, in the bucket of the workers.
            meta_id: the application's id of the picture within the company.
            company_id: the tenant.

        Returns:
            The id of the batch that the event is in. Once it is returned the event is not lost, whatever dies.

        Raises:
            InvalidMessage: an argument does not fit the contract.
            Overloaded: `LOOKALIKE_OUTSTANDING_MAX` events are outstanding. Nothing was accepted.
            ServiceUnavailable: Redis does not answer. To enqueue it again does no harm, whatever became of this call.
        """
        event = {"object_key": object_key, "meta_id": meta_id, "company_id": company_id}
        return self._shared.enqueue(encode_event(event))

    def submit(self, event: UploadEvent | ObjectEvent | Mapping[str, Any]) -> Future[str]:
        """Begin to enqueue one event, and do not wait.

        Args:
            event: as for `enqueue_many`.

        Returns:
            A future that ends as `enqueue` does, with the id of the batch or its error. Until then nothing is promised.
            `asyncio.wrap_future` makes it awaitable. 10,000 events may be on their way; then this waits.

        Raises:
            InvalidMessage: the event does not fit the contract.
            ServiceUnavailable: the client is closed.
        """
        return self._shared.submit(encode_event(event))

    def enqueue_many(
        self,
        events: Iterable[UploadEvent | ObjectEvent | Mapping[str, Any]],
        *,
        batch_size: int = 100,
        progress: Callable[[int], None] | None = None,
        wait: float | None = None,
        waiting: Callable[[int], None] | None = None,
    ) -> EnqueueResult:
        """Have many pictures indexed, in constant memory however many they are.

        It waits while there is a backlog: when `LOOKALIKE_OUTSTANDING_HIGH` events are outstanding, until no more than
        `LOOKALIKE_OUTSTANDING_LOW` are.

        Args:
            events: `UploadEvent`s, or mappings with `object_key`, `meta_id`, `company_id`; or `ObjectEvent`s, whose ids
                the workers find out.
            batch_size: events in a message, 1 to 100.
            progress: called after each message with the number of events that are enqueued.
            wait: seconds that one such wait may take; None: for ever.
            waiting: called again and again while it waits, with the number of outstanding events.

        Returns:
            How many events were enqueued, in how many messages.

        Raises:
            InvalidEvent: (an InvalidMessage) naming the event's index. All events before it are enqueued, and
                `accepted` says how many.
            Interrupted: (a ServiceUnavailable) `accepted` events are enqueued, the rest is not: Redis failed, a wait
                took longer than `wait`, or the client was closed meanwhile.
        """
        return enqueue_all(
            self._publisher,
            events,
            wait=self._backpressure.bounded(wait, waiting),
            batch_size=batch_size,
            progress=progress,
        )

    def search(
        self,
        *,
        object_key: str | None = None,
        image: Image | None = None,
        vector: bytes | str | None = None,
        meta_id: int | None = None,
        company_id: int | None = None,
        all_companies: bool = False,
        limit: int = 10,
        max_distance: int | None = None,
        max_chance: float | None = None,
        fresh: bool = False,
        hash: str | None = None,  # noqa: A002 - the contract's name
        collapse: bool = True,
        members: int = 10,
        low_quality: bool = False,
        verify: bool = False,
        timeout: float = 30.0,
    ) -> SearchResult:
        """Find the pictures that look like one, given in exactly one of four ways.

        Args:
            object_key: an object in the bucket; it need not be indexed.
            image: bytes, a file opened in binary mode, or a path.
            vector: the hash, as bytes or hexadecimal.
            meta_id: a picture of `company_id` that is indexed.
            company_id: the tenant whose pictures are looked through. Required, unless `all_companies`.
            all_companies: look through every tenant's pictures.
            limit: how many matches at the most, 1 to 1,000.
            max_distance: the largest Hamming distance in bits, inclusive; None: no bound.
            max_chance: in place of `max_distance`: how many unrelated pictures may be expected by chance at a match's
                distance or nearer. 0.01 is a good beginning.
            fresh: see every write that was acknowledged before (0.3 s and more slower).
            hash: the profile to compare by; the workers' first unless given.
            collapse: pictures with the same vector are one match, with a `count` and its `members`; False: each is a
                match of its own.
            members: how many of its members a match names at the most, 0 to 100; `members_of` reads the rest.
            low_quality: find blank and nearly blank pictures too.
            verify: have each match looked at again by a hash of 256 bits in all eight orientations, and find rotated
                and mirrored copies too: `kind` says what a match is.
            timeout: seconds to wait for a worker.

        Returns:
            `{"hash": ..., "matches": [...]}`, nearest first.

        Raises:
            InvalidMessage: an argument does not fit the contract.
            QueryNotFound: there is no such object or indexed picture.
            QueryRejected: the image cannot be hashed: it is none, or larger than the limits admit.
            ServiceUnavailable: Redis, OSS, Milvus or a worker does not answer in time.
        """
        options = search_options(locals())
        query = {"object_key": object_key, "image": image, "vector": vector, "meta_id": meta_id}
        return cast("SearchResult", self._calls(SEARCH, search_arguments(query, options), timeout=timeout))

    def search_many(
        self,
        queries: Iterable[Query | Mapping[str, Any]],
        *,
        company_id: int | None = None,
        all_companies: bool = False,
        limit: int = 10,
        max_distance: int | None = None,
        max_chance: float | None = None,
        fresh: bool = False,
        hash: str | None = None,  # noqa: A002 - the contract's name
        collapse: bool = True,
        members: int = 10,
        low_quality: bool = False,
        verify: bool = False,
        timeout: float = 30.0,
    ) -> SearchManyResult:
        """Find the pictures that look like each of 1 to 100, in one call of the index.

        Args:
            queries: each a mapping with one of `object_key`, `image`, `vector`, `meta_id`.
            company_id: as for `search`, and so are the rest.
            all_companies: as for `search`.
            limit: as for `search`.
            max_distance: as for `search`.
            max_chance: as for `search`.
            fresh: as for `search`.
            hash: as for `search`.
            collapse: as for `search`.
            members: as for `search`.
            low_quality: as for `search`.
            verify: as for `search`.
            timeout: as for `search`.

        Returns:
            `{"hash": ..., "results": [[...], ...]}`: the matches of each query, in the order asked.

        Raises:
            InvalidMessage: as for `search`.
            QueryNotFound: there is no such object or indexed picture, of one of the queries.
            QueryRejected: the image of one of the queries cannot be hashed.
            ServiceUnavailable: as for `search`.
        """
        options = search_options(locals())
        arguments = search_many_arguments(queries, options)
        return cast("SearchManyResult", self._calls(SEARCH_MANY, arguments, timeout=timeout))

    def members_of(
        self,
        meta_id: int,
        *,
        company_id: int,
        hash: str | None = None,  # noqa: A002 - the contract's name
        all_companies: bool = False,
        low_quality: bool = False,
        page: int = 100,
        timeout: float = 30.0,
    ) -> Iterator[Member]:
        """Read the pictures that have the same vector as one of them, a page at a time, in the order of their ids.

        Args:
            meta_id: an indexed picture, such as a match's.
            company_id: its tenant.
            hash: the profile; the workers' first unless given.
            all_companies: other tenants' pictures too.
            low_quality: blank and nearly blank ones too.
            page: how many to read at a time, 1 to 1,000.
            timeout: seconds to wait for a page.

        Yields:
            Those pictures. The one that is asked for is among them, unless it is left out as a blank one.

        Raises:
            QueryNotFound: there is no such picture any more.
        """
        asked = {
            "meta_id": meta_id,
            "company_id": company_id,
            "hash": hash,
            "all_companies": all_companies,
            "low_quality": low_quality,
            "limit": page,
            "version": VERSION,
        }
        after: int | None = -1
        while after is not None:
            arguments = {**asked, "after": after}
            decode_members(arguments)
            result = cast("MembersResult", self._calls(MEMBERS, arguments, timeout=timeout))
            yield from result["members"]
            after = result["next"]

    def thumbnails(
        self, items: Iterable[Mapping[str, Any]], *, side: int = DEFAULT_SIDE, timeout: float = 30.0
    ) -> Iterator[tuple[str | None, str | None]]:
        """Have small JPEGs made of any number of pictures, a hundred at a time.

        Args:
            items: each a mapping with `meta_id` and `company_id` of an indexed picture, or with `object_key`, or with
                `image` (base64).
            side: how wide and high a thumbnail is at the most, in pixels, 32 to 512.
            timeout: seconds to wait for a hundred.

        Yields:
            For each item, in the order asked: a JPEG in base64 and None, or None and why there is none.
        """
        remaining = iter(items)
        while chunk := [dict(item) for item in islice(remaining, MAX_EVENTS)]:
            arguments = {"items": chunk, "side": side, "version": VERSION}
            decode_thumbnails(arguments)
            result = cast("ThumbnailsResult", self._calls(THUMBNAILS, arguments, timeout=timeout))
            yield from zip(result["thumbnails"], result["errors"], strict=True)

    def delete(self, items: Iterable[Item | Mapping[str, Any]], *, timeout: float = 30.0) -> int:
        """Remove pictures from the index.

        A deletion does not expire. It shares the queue of the uploads that were enqueued before it; when those take
        longer than `timeout`, `ServiceUnavailable` is raised and the deletion is done later all the same.

        Args:
            items: `Item`s, or mappings with `meta_id` and `company_id`. All are validated before any is sent.
            timeout: seconds to wait for all of them.

        Returns:
            How many of them had a row.

        Raises:
            InvalidMessage: naming the item that does not fit the contract. Nothing was sent.
            ServiceUnavailable: Redis or a worker does not answer in time.
        """
        answers = self._calls.each(DELETE, delete_arguments(items), timeout=timeout)
        return sum(answer["deleted"] for answer in answers)

    def stats(self, *, timeout: float = 30.0) -> dict[str, dict[str, int]]:
        """Count the rows.

        Args:
            timeout: seconds to wait for a search worker.

        Returns:
            `{"collections": {name: rows}}`.

        Raises:
            ServiceUnavailable: Redis, Milvus or a worker does not answer in time.
        """
        return cast("dict[str, dict[str, int]]", self._calls(STATS, {}, timeout=timeout))

    def outstanding(self) -> int:
        """Count the events that were accepted and have not ended. It asks only the ledger, and may be polled.

        Returns:
            How many there are, of all producers; retries count.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        return self._connections.ledger.outstanding()

    def status(self, *, timeout: float = 5.0) -> Status:
        """See what is outstanding, what is dead, how long the queues are, and who works.

        Args:
            timeout: seconds to wait for a search worker to count the rows.

        Returns:
            One look. Where no worker answers, `workers` is 0 and `collections` empty.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        held = self._connections
        return read_status(held.app, held.ledger, self._calls, timeout=timeout)

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Read the events that were given up, a page at a time.

        Returns:
            The letters, oldest first, as they are read. `dead` has them under their ids.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        return self._connections.ledger.dead_letters()

    @property
    def dead(self) -> DeadLetters:
        """The dead letters under their ids: to look for some, to enqueue their events again, to remove them."""
        return DeadLetters(self._connections.ledger, self._publisher, self._backpressure)

    async def aenqueue(self, object_key: str, *, meta_id: int, company_id: int) -> str:
        """`enqueue`, for async code. It takes no thread while it waits, so any number may be under way.

        Args:
            object_key: of the picture, in the bucket of the workers.
            meta_id: the application's id of the picture within the company.
            company_id: the tenant.

        Returns:
            The id of the batch that the event is in. Once it is returned the event is not lost, whatever dies.

        Raises:
            InvalidMessage: an argument does not fit the contract.
            Overloaded: `LOOKALIKE_OUTSTANDING_MAX` events are outstanding. Nothing was accepted.
            ServiceUnavailable: Redis does not answer. To enqueue it again does no harm, whatever became of this call.
        """
        event = {"object_key": object_key, "meta_id": meta_id, "company_id": company_id}
        submitted = await self._in_thread(partial(self.submit, event)) if self._shared.is_full else self.submit(event)
        accepted = asyncio.wrap_future(submitted)
        accepted.add_done_callback(_retrieve)
        return await asyncio.shield(accepted)

    async def aenqueue_many(
        self,
        events: Iterable[UploadEvent | ObjectEvent | Mapping[str, Any]],
        *,
        batch_size: int = 100,
        progress: Callable[[int], None] | None = None,
        wait: float | None = None,
        waiting: Callable[[int], None] | None = None,
    ) -> EnqueueResult:
        """`enqueue_many`, for async code; `events` is read, and `progress` and `waiting` are called, in another thread.

        While it waits for a backlog it keeps that thread.

        Args:
            events: as for `enqueue_many`, and so are the rest.
            batch_size: as for `enqueue_many`.
            progress: as for `enqueue_many`.
            wait: as for `enqueue_many`.
            waiting: as for `enqueue_many`.

        Returns:
            How many events were enqueued, in how many messages.

        Raises:
            InvalidEvent: as for `enqueue_many`.
            Interrupted: as for `enqueue_many`.
        """
        return await self._in_thread(
            partial(self.enqueue_many, events, batch_size=batch_size, progress=progress, wait=wait, waiting=waiting)
        )

    async def asearch(self, **arguments: Unpack[SearchArguments]) -> SearchResult:
        """`search`, for async code.

        Args:
            arguments: those of `search`.

        Returns:
            `{"hash": ..., "matches": [...]}`, nearest first.

        Raises:
            InvalidMessage: as for `search`.
            QueryNotFound: as for `search`.
            QueryRejected: as for `search`.
            ServiceUnavailable: as for `search`.
        """
        return await self._in_thread(partial(self.search, **arguments))

    async def asearch_many(
        self, queries: Iterable[Query | Mapping[str, Any]], **scope: Unpack[Scope]
    ) -> SearchManyResult:
        """`search_many`, for async code.

        Args:
            queries: each a mapping with one of `object_key`, `image`, `vector`, `meta_id`; 1 to 100.
            scope: the other arguments of `search_many`.

        Returns:
            `{"hash": ..., "results": [[...], ...]}`: the matches of each query, in the order asked.

        Raises:
            InvalidMessage: as for `search_many`.
            QueryNotFound: as for `search_many`.
            QueryRejected: as for `search_many`.
            ServiceUnavailable: as for `search_many`.
        """
        return await self._in_thread(partial(self.search_many, queries, **scope))

    async def adelete(self, items: Iterable[Item | Mapping[str, Any]], *, timeout: float = 30.0) -> int:  # noqa: ASYNC109 - the same argument as `delete`
        """`delete`, for async code.

        Args:
            items: `Item`s, or mappings with `meta_id` and `company_id`. All are validated before any is sent.
            timeout: seconds to wait for all of them.

        Returns:
            How many of them had a row.

        Raises:
            InvalidMessage: naming the item that does not fit the contract. Nothing was sent.
            ServiceUnavailable: Redis or a worker does not answer in time; the deletion is done later all the same.
        """
        return await self._in_thread(partial(self.delete, items, timeout=timeout))

    async def astatus(self, *, timeout: float = 5.0) -> Status:  # noqa: ASYNC109 - the same argument as `status`
        """`status`, for async code.

        Args:
            timeout: seconds to wait for a search worker to count the rows.

        Returns:
            One look. Where no worker answers, `workers` is 0 and `collections` empty.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        return await self._in_thread(partial(self.status, timeout=timeout))

    async def aclose(self) -> None:
        """`close`, for async code."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._connections.executor, copy_context().run, call)

    def _connect(self) -> None:
        self._connections = Connections(self._settings)
        self._publisher = Publisher(self._connections.app, self._connections.ledger)
        self._shared = SharedBatches(self._publisher.accept, delay=self._settings.enqueue_delay_seconds)
        self._calls = Calls(self._connections.app)
        self._backpressure = Backpressure(
            self._connections.ledger.outstanding,
            high=self._settings.outstanding_high,
            low=self._settings.outstanding_low,
            limit=self._settings.outstanding_max,
            pause=self._connections.closing.wait,
        )


def _retrieve(accepted: "asyncio.Future[str]") -> None:
    """Look at the error of a call whose caller was cancelled; asyncio would complain that nobody does."""
    if not accepted.cancelled():
        accepted.exception()


def _connect_anew() -> None:
    for client in list(_clients):
        client._connect()  # noqa: SLF001 - the module's own


# A socket that two processes write to carries nonsense.
os.register_at_fork(after_in_child=_connect_anew)
