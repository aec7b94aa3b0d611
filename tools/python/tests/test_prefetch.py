"""Drafts that a client asks for before it needs them."""

from __future__ import annotations

import asyncio
from array import array

from service import Service

from reprise import AsyncClient, AsyncSession, NewSession
from reprise.core.decoding import DecodingCore
from reprise.core.draft_call import DraftCall
from reprise.core.drafts import Draft
from reprise.core.prefetch import Prefetch, draft_below, likeliest_path


def test_prefetch(service: Service) -> None:
    """The text repeats what is known, so all of a draft is accepted, and the guess comes true."""
    text = list(range(10, 60))

    async def answered(client: AsyncClient, session: AsyncSession) -> None:
        while session._prefetch is not None and session._prefetch.call.awaited:
            await asyncio.sleep(0)

    async def run() -> None:
        async with AsyncClient(service.socket, deadline=2.0, open_deadline=10.0) as client:
            await client.create_corpus("a")
            await client.insert("a", [text])
            session = await client.open_session("a", text[:4])
            draft = await session.step()
            assert draft.tokens == text[4:8]
            session.prefetch(draft)
            await answered(client, session)
            # All accepted, and the model's own token is the one that was guessed.
            draft = await session.step(text[4:9])
            assert client.counters.prefetch_hits == 1
            assert draft.tokens == text[9:16]
            session.prefetch(draft)
            await answered(client, session)
            # All accepted, but the model goes another way.
            assert (await session.step([*text[9:16], 999])).tokens == []
            assert client.counters.prefetch_hits == 1
            # The session has seen everything, whether it was guessed or not.
            await session.close(wait=10)
            assert (await client.corpus_stats("a")).output_tokens == 50 + 5 + 8

    asyncio.run(run())


def test_a_guess_holds_for_what_was_expected_alone() -> None:
    core = DecodingCore()
    (record,) = core.add_sessions([NewSession("a", [1])])
    call = DraftCall(1)
    call.drafts = [Draft([7, 8], [-1, 0], [1.0, 1.0], [1, 1], 2.0, 3, "shared")]
    guess = Prefetch(output_tokens=0, expected=array("i", [5, 6]), call=call)
    came_true = guess.draft_after(record, array("i", [5, 6, 7]))
    assert came_true is not None
    assert came_true.tokens == [8]
    for accepted in ([5, 6, 9], [5, 7], [7], [5, 9, 7], [5, 6], [5, 6, 7, 8]):
        assert guess.draft_after(record, array("i", accepted)) is None
    record.output.append(4)  # It is about another place.
    assert guess.draft_after(record, array("i", [5, 6, 7])) is None


def test_prefetch_of_a_tree() -> None:
    draft = Draft(
        tokens=[1, 2, 3, 4, 5],
        parents=[-1, -1, 0, 1, 1],
        probs=[0.25, 0.5, 0.25, 0.1, 0.4],
        counts=[1, 4, 1, 1, 3],
        match_length=3,
        source="shared",
    )
    assert likeliest_path(draft) == [2, 5]
    below = draft_below(draft, 2)
    assert below is not None
    assert (below.tokens, below.parents, below.counts) == ([4, 5], [-1, -1], [1, 3])
    assert below.probs == [0.2, 0.8]
    assert below.match_length == 4
    assert draft_below(draft, 9) is None
    assert draft.accepted_by([2, 5, 7]) == 2
