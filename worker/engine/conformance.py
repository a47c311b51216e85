"""Tests that every backend must pass. A backend's test class inherits them, and only makes the engine.

``Conformance`` is for every engine, ``GenerationConformance`` for engines that write, ``ContinuousConformance`` for
engines with continuous batching, and ``DecodingConformance`` for engines that write and accept, or refuse, prefixes,
stop strings and sampling. The tests need pytest; the worker does not import this module.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.engine.completions import completions
from worker.engine.protocol import (
    Architecture,
    Completion,
    Engine,
    EngineBatch,
    EngineError,
    FinishReason,
    Request,
    Sampling,
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded engine, and requests to it.

    There are four ``requests`` or more: greedy, of several lengths, with different answers and ids other than 0, 1, ….
    If the engine writes, their ``max_new_tokens`` is 8 or more, and some answers end before that while others do not.
    """

    engine: Engine
    requests: Sequence[Request]
    #: Turns an answer's ids into the text in which the engine looks for stop strings.
    text: Callable[[Sequence[int]], str] = str

    def run(self, requests: Iterable[Request] | None = None) -> dict[int, Completion]:
        """Runs one batch. Returns its completions by request id; each request must be answered exactly once."""
        sent = list(self.requests if requests is None else requests)
        found = list(completions(self.engine, sent))
        assert sorted(completion.id for completion in found) == sorted(request.id for request in sent)
        return {completion.id: completion for completion in found}


class Conformance:
    """Tests for every engine. A subclass makes the subject, which its tests share."""

    #: Whether a request has the same answer in every batch, to the last bit.
    is_batch_invariant = True

    @classmethod
    def make(cls, folder: Path) -> Subject:
        """Makes the engine under test; ``folder`` is an empty one for its model."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory: pytest.TempPathFactory) -> Subject:
        return cls.make(tmp_path_factory.mktemp("model"))

    def test_every_request_is_answered_once_and_answers_differ(self, subject: Subject) -> None:
        answers = subject.run()
        assert len(subject.requests) >= 4
        assert 2 * len({(answer.tokens, answer.scores) for answer in answers.values()}) > len(answers), (
            "to prove anything"
        )

    def test_the_same_batch_has_the_same_answers_in_any_order(self, subject: Subject) -> None:
        if not self.is_batch_invariant:
            pytest.skip("this backend does not promise it")
        assert subject.run() == subject.run(reversed(subject.requests))

    def test_an_answer_alone_is_the_one_in_a_batch(self, subject: Subject) -> None:
        if not self.is_batch_invariant:
            pytest.skip("this backend does not promise it")
        assert subject.run() == {request.id: subject.run([request])[request.id] for request in subject.requests}

    def test_an_empty_batch_has_no_completions(self, subject: Subject) -> None:
        assert subject.run([]) == {}

    @pytest.mark.parametrize("length", ["empty", "too long"])
    def test_a_request_that_cannot_be_read_is_refused_without_a_word_of_it(self, subject: Subject, length: str) -> None:
        context = subject.engine.capabilities().context
        first = subject.requests[0]
        token = max(first.tokens)
        bad = first._replace(tokens=[token] * (context + 1) if length == "too long" else [])
        with pytest.raises(EngineError) as caught:
            subject.run([subject.requests[1], bad])
        assert str(token) not in set(re.findall("[0-9]+", str(caught.value))) - {str(context)}

    def test_an_engine_goes_on_after_a_refusal(self, subject: Subject) -> None:
        before = subject.run()
        with pytest.raises(EngineError):
            subject.run([subject.requests[0]._replace(tokens=[])])
        assert subject.run() == before

    @pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped"])
    def test_an_engine_goes_on_after_a_batch_that_was_given_up(self, subject: Subject, is_closed: bool) -> None:
        before = subject.run()
        batch = subject.engine.start()
        batch.add(subject.requests)
        while not batch.step():
            assert not batch.is_done
        if is_closed:
            batch.close()
        del batch
        assert subject.run() == before

    def test_a_batch_without_requests_is_done_and_its_steps_do_nothing(self, subject: Subject) -> None:
        batch = subject.engine.start()
        for _ in range(2):
            assert is_done(batch)
            assert list(batch.step()) == []
            batch.add([])
        batch.add(subject.requests)
        assert not is_done(batch)
        batch.close()

    def test_a_batch_is_done_once_all_is_answered(self, subject: Subject) -> None:
        batch, found = subject.engine.start(), list[Completion]()
        batch.add(subject.requests)
        while not batch.is_done:
            found += batch.step()
        assert {completion.id for completion in found} == {request.id for request in subject.requests}
        assert list(batch.step()) == []
        batch.close()

    def test_a_closed_batch_is_done_and_takes_nothing_more(self, subject: Subject) -> None:
        batch = subject.engine.start()
        batch.add(subject.requests)
        batch.step()
        for _ in range(2):
            batch.close()
            assert batch.is_done
            assert list(batch.step()) == []
        with pytest.raises(EngineError):
            batch.add(subject.requests)

    def test_a_batch_that_raised_is_closed(self, subject: Subject) -> None:
        batch = subject.engine.start()
        with pytest.raises(EngineError):
            run_to_its_end(batch, [subject.requests[0]._replace(tokens=[])])
        assert batch.is_done
        assert list(batch.step()) == []
        with pytest.raises(EngineError):
            batch.add(subject.requests)
        batch.close()

    def test_two_batches_run_at_once(self, subject: Subject) -> None:
        expected, found = subject.run(), list[Completion]()
        batch = subject.engine.start()
        batch.add(subject.requests)
        while not batch.is_done:
            found += batch.step()
            between = subject.run()
            assert not self.is_batch_invariant or between == expected
        batch.close()
        assert sorted(completion.id for completion in found) == sorted(expected)
        if self.is_batch_invariant:
            assert {completion.id: completion for completion in found} == expected

    def test_requests_are_added_later_only_to_a_continuous_batch(self, subject: Subject) -> None:
        first, *others = subject.requests
        batch = subject.engine.start()
        batch.add([first])
        if subject.engine.capabilities().is_continuous:
            batch.add(others)
            batch.close()
            return
        with pytest.raises(EngineError):
            batch.add(others)
        assert batch.is_done

    def test_the_longest_input_is_read(self, subject: Subject) -> None:
        capabilities, first = subject.engine.capabilities(), subject.requests[0]
        # A decoder-only model needs one position for its answer.
        longest = capabilities.context - (capabilities.architecture is Architecture.DECODER_ONLY)
        subject.run([first._replace(tokens=[first.tokens[0]] * longest)])

    def test_scores_belong_to_labels_and_to_nothing_else(self, subject: Subject) -> None:
        capabilities = subject.engine.capabilities()
        is_classifier = capabilities.architecture is Architecture.CLASSIFIER
        assert bool(capabilities.labels) is is_classifier
        for answer in subject.run().values():
            assert len(answer.scores) == len(capabilities.labels)
            assert all(0 <= score <= 1 for score in answer.scores)
            assert (answer.finish_reason is FinishReason.LABEL) is is_classifier


def is_done(batch: EngineBatch) -> bool:
    """Reads the property through a function, because a type checker would assume that it has not changed."""
    return batch.is_done


def run_to_its_end(batch: EngineBatch, requests: Sequence[Request]) -> list[Completion]:
    """Adds the requests, and steps until the batch is done."""
    batch.add(requests)
    found: list[Completion] = []
    while not batch.is_done:
        found += batch.step()
    return found


class GenerationConformance(Conformance):
    """Tests for engines that write."""

    #: Whether the engine has beam search. If not, it must refuse beams.
    supports_beams = False

    def test_beams_are_searched_or_refused(self, subject: Subject) -> None:
        sent = [request._replace(beams=4) for request in subject.requests]
        if not self.supports_beams:
            with pytest.raises(EngineError):
                subject.run(sent)
            return
        found = subject.run(sent)
        assert found != subject.run(), "to prove anything"
        assert all(len(found[request.id].tokens) <= request.max_new_tokens for request in sent)
        assert subject.run(request._replace(beams=1) for request in sent) == subject.run()
        if self.is_batch_invariant:
            assert found == {request.id: subject.run([request])[request.id] for request in sent}

    def test_each_request_keeps_its_own_limit_and_says_why_it_ends(self, subject: Subject) -> None:
        complete = subject.run()
        assert {answer.finish_reason for answer in complete.values()} == {FinishReason.STOP, FinishReason.LENGTH}
        limits = {request.id: 1 + number % 4 for number, request in enumerate(subject.requests)}
        for number, answer in subject.run(
            request._replace(max_new_tokens=limits[request.id]) for request in subject.requests
        ).items():
            assert answer.tokens == complete[number].tokens[: limits[number]]
            if len(complete[number].tokens) > limits[number]:
                assert answer.finish_reason is FinishReason.LENGTH
            if len(answer.tokens) < limits[number]:
                assert answer.finish_reason is FinishReason.STOP

    def test_no_answer_is_longer_than_its_limit(self, subject: Subject) -> None:
        limits = {request.id: request.max_new_tokens for request in subject.requests}
        for number, answer in subject.run().items():
            is_at_limit = len(answer.tokens) == limits[number]
            assert len(answer.tokens) <= limits[number]
            assert is_at_limit or answer.finish_reason is FinishReason.STOP

    def test_a_limit_of_none_at_all_leaves_nothing_to_write(self, subject: Subject) -> None:
        first, second = subject.requests[:2]
        silent, nothing = first._replace(max_new_tokens=0), Completion(first.id, (), FinishReason.LENGTH)
        assert subject.run([silent, second])[first.id] == nothing
        assert subject.run([silent]) == {first.id: nothing}


class ContinuousConformance(GenerationConformance):
    """Tests for engines with ``Capabilities.is_continuous``, whose batches take requests between steps."""

    @staticmethod
    def run_in_portions(subject: Subject, portions: Iterable[Sequence[Request]]) -> dict[int, Completion]:
        """Runs a batch, and adds one portion before each step. Returns the completions by request id."""
        assert subject.engine.capabilities().is_continuous
        batch, found = subject.engine.start(), list[Completion]()
        for portion in portions:
            batch.add(portion)
            found += batch.step()
        while not batch.is_done:
            found += batch.step()
        batch.close()
        assert len({completion.id for completion in found}) == len(found)
        return {completion.id: completion for completion in found}

    def test_a_request_that_joins_is_answered_as_in_a_batch(self, subject: Subject) -> None:
        found, expected = self.run_in_portions(subject, ([request] for request in subject.requests)), subject.run()
        assert found.keys() == expected.keys()
        if self.is_batch_invariant:
            assert found == expected

    def test_a_batch_that_is_done_takes_more(self, subject: Subject) -> None:
        batch, found = subject.engine.start(), dict[int, Completion]()
        for request in subject.requests:
            found |= {completion.id: completion for completion in run_to_its_end(batch, [request])}
            assert batch.is_done
        batch.close()
        expected = subject.run()
        assert found.keys() == expected.keys()
        if self.is_batch_invariant:
            assert found == expected

    def test_where_nothing_comes_nothing_runs(self, subject: Subject) -> None:
        assert self.run_in_portions(subject, [[], []]) == {}

    def test_an_engine_goes_on_after_a_continuous_batch_that_was_given_up(self, subject: Subject) -> None:
        before = subject.run()
        batch = subject.engine.start()
        for request in subject.requests:
            batch.add([request])
            batch.step()
        del batch
        assert subject.run() == before

    def test_a_joining_request_that_cannot_be_read_is_refused_and_earlier_answers_stay(self, subject: Subject) -> None:
        first, second = subject.requests[:2]
        batch = subject.engine.start()
        answers = {completion.id: completion for completion in run_to_its_end(batch, [first])}
        batch.add([second])
        batch.step()
        with pytest.raises(EngineError):
            run_to_its_end(batch, [first._replace(tokens=[])])
        assert batch.is_done
        if self.is_batch_invariant:
            assert answers == {first.id: subject.run([first])[first.id]}
        assert answers.keys() == {first.id}


class DecodingConformance(GenerationConformance):
    """Tests for prefixes, stop strings and sampling."""

    #: Whether the engine supports stop strings. If not, it must refuse them.
    supports_stop = True
    #: Whether the engine samples, each request with its own seed. If not, it must refuse a temperature.
    supports_sampling = True

    def test_an_answer_continues_its_prefix_which_is_not_part_of_it(self, subject: Subject) -> None:
        complete = subject.run()
        prefixes = {
            request.id: complete[request.id].tokens[: number % 3] for number, request in enumerate(subject.requests)
        }
        assert any(prefixes.values())
        continued = subject.run(
            request._replace(
                decoder_prefix=prefixes[request.id], max_new_tokens=request.max_new_tokens - len(prefixes[request.id])
            )
            for request in subject.requests
        )
        rest = {
            number: answer._replace(tokens=answer.tokens[len(prefixes[number]) :])
            for number, answer in complete.items()
        }
        assert continued == rest

    def test_a_stop_string_ends_the_answer_that_holds_it_and_no_other(self, subject: Subject) -> None:
        complete = subject.run()
        chosen = max(subject.requests, key=lambda request: len(set(complete[request.id].tokens)))
        text = subject.text(complete[chosen.id].tokens)
        stop = text[len(text) // 2 : len(text) // 2 + 6]
        sent = [
            request._replace(stop=("never written", stop) if request is chosen else ()) for request in subject.requests
        ]
        if not self.supports_stop:
            with pytest.raises(EngineError):
                subject.run(sent)
            return
        stopped = subject.run(sent)
        # The stop string may be included, as in our own engines, or left out, as servers do: the caller trims.
        assert subject.text(stopped[chosen.id].tokens).partition(stop)[0] == text.partition(stop)[0]
        assert len(stopped[chosen.id].tokens) < len(complete[chosen.id].tokens)
        assert stopped[chosen.id].finish_reason is FinishReason.STOP
        assert stopped | {chosen.id: complete[chosen.id]} == complete

    def test_a_seed_repeats_a_draw_and_another_one_makes_another(self, subject: Subject) -> None:
        def drawn(seed: int) -> list[Request]:
            return [
                request._replace(sampling=Sampling(temperature=0.9, top_p=0.95, top_k=50, seed=seed + request.id))
                for request in subject.requests
            ]

        if not self.supports_sampling:
            with pytest.raises(EngineError):
                subject.run(drawn(0))
            return
        once = subject.run(drawn(0))
        assert once == subject.run(drawn(0))
        assert once != subject.run(drawn(100))
        if self.is_batch_invariant:
            assert once == {request.id: subject.run([request])[request.id] for request in drawn(0)}
