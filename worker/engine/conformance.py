"""What every backend promises, as tests to inherit: a backend's own test gives the subject, the rest is here.

``Conformance`` is for every engine, ``GenerationConformance`` for those that write, ``ContinuousConformance`` for those whose
batches others may join, ``DecodingConformance`` for those that also take prefixes, stop strings and sampling, or refuse
them. Needs pytest; nothing of a worker imports this.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.engine.protocol import (
    Architecture,
    Completion,
    Engine,
    EngineError,
    FinishReason,
    OpenEngine,
    Request,
    Sampling,
)


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine, loaded, and what it is asked.

    ``requests`` are four or more, of several lengths and unlike answers, greedy, their ids other than 0, 1, …. Those of
    an engine that writes have a ``max_new_tokens`` of 8 or more, by which some answers end and some do not.
    """

    engine: Engine
    requests: Sequence[Request]
    #: The text of an answer's ids, as stop strings are looked for in it.
    text: Callable[[Sequence[int]], str] = str

    def run(self, requests: Iterable[Request] | None = None) -> dict[int, Completion]:
        """The completions by their request's id, each of which must be answered exactly once."""
        asked = list(self.requests if requests is None else requests)
        completions = list(self.engine.generate(asked))
        assert sorted(completion.id for completion in completions) == sorted(request.id for request in asked)
        return {completion.id: completion for completion in completions}


class Conformance:
    """Every engine. A subclass makes the subject, which its tests share."""

    #: Whether a request has the same answer in any batch, to the last bit.
    is_batch_invariant = True

    @classmethod
    def make(cls, folder: Path) -> Subject:
        """The engine under test; ``folder`` is empty, for its model."""
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

    def test_an_engine_goes_on_after_a_batch_that_nobody_heard_to_its_end(self, subject: Subject) -> None:
        before = subject.run()
        given_up = iter(subject.engine.generate(subject.requests))
        next(given_up)
        del given_up
        assert subject.run() == before

    def test_the_longest_input_is_read(self, subject: Subject) -> None:
        capabilities, first = subject.engine.capabilities(), subject.requests[0]
        # A decoder-only model's answer continues its input.
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


class GenerationConformance(Conformance):
    """Engines that write."""

    #: Whether it searches with beams; if not, it refuses to.
    supports_beams = False

    def test_beams_are_searched_or_refused(self, subject: Subject) -> None:
        asked = [request._replace(beams=4) for request in subject.requests]
        if not self.supports_beams:
            with pytest.raises(EngineError):
                subject.run(asked)
            return
        found = subject.run(asked)
        assert found != subject.run(), "to prove anything"
        assert all(len(found[request.id].tokens) <= request.max_new_tokens for request in asked)
        assert subject.run(request._replace(beams=1) for request in asked) == subject.run()
        if self.is_batch_invariant:
            assert found == {request.id: subject.run([request])[request.id] for request in asked}

    def test_each_request_keeps_its_own_limit_and_says_why_it_ends(self, subject: Subject) -> None:
        whole = subject.run()
        assert {answer.finish_reason for answer in whole.values()} == {FinishReason.STOP, FinishReason.LENGTH}
        limits = {request.id: 1 + number % 4 for number, request in enumerate(subject.requests)}
        for number, answer in subject.run(
            request._replace(max_new_tokens=limits[request.id]) for request in subject.requests
        ).items():
            assert answer.tokens == whole[number].tokens[: limits[number]]
            if len(whole[number].tokens) > limits[number]:
                assert answer.finish_reason is FinishReason.LENGTH
            if len(answer.tokens) < limits[number]:
                assert answer.finish_reason is FinishReason.STOP

    def test_no_answer_is_longer_than_its_limit(self, subject: Subject) -> None:
        limits = {request.id: request.max_new_tokens for request in subject.requests}
        for number, answer in subject.run().items():
            is_whole = len(answer.tokens) == limits[number]
            assert len(answer.tokens) <= limits[number]
            assert is_whole or answer.finish_reason is FinishReason.STOP

    def test_a_limit_of_none_at_all_leaves_nothing_to_write(self, subject: Subject) -> None:
        first, second = subject.requests[:2]
        silent, nothing = first._replace(max_new_tokens=0), Completion(first.id, (), FinishReason.LENGTH)
        assert subject.run([silent, second])[first.id] == nothing
        assert subject.run([silent]) == {first.id: nothing}


class ContinuousConformance(GenerationConformance):
    """Engines whose ``Capabilities.is_continuous``: others join a batch while it runs."""

    @staticmethod
    def run_open(subject: Subject, portions: Iterable[Sequence[Request]]) -> dict[int, Completion]:
        """The completions where one portion joins before each step."""
        assert subject.engine.capabilities().is_continuous
        assert isinstance(subject.engine, OpenEngine)
        waiting = iter(portions)
        completions = list(subject.engine.generate_from(lambda: next(waiting, ())))
        assert not list(waiting), "it must go on while something joins"
        found = {completion.id: completion for completion in completions}
        assert len(found) == len(completions)
        return found

    def test_who_joins_is_answered_as_in_a_batch(self, subject: Subject) -> None:
        found, expected = self.run_open(subject, ([request] for request in subject.requests)), subject.run()
        assert found.keys() == expected.keys()
        if self.is_batch_invariant:
            assert found == expected

    def test_where_nothing_comes_nothing_runs(self, subject: Subject) -> None:
        assert self.run_open(subject, []) == {}

    def test_an_engine_goes_on_after_an_open_batch_that_nobody_heard_to_its_end(self, subject: Subject) -> None:
        before = subject.run()
        assert isinstance(subject.engine, OpenEngine)
        portions = iter([subject.requests])
        given_up = subject.engine.generate_from(lambda: next(portions, ()))
        next(given_up)
        del given_up
        assert subject.run() == before

    def test_who_joins_and_cannot_be_read_is_refused(self, subject: Subject) -> None:
        good, bad = subject.requests[0], subject.requests[1]._replace(tokens=[])
        with pytest.raises(EngineError):
            self.run_open(subject, [[good], [bad]])


class DecodingConformance(GenerationConformance):
    """Engines that have a say in what is written."""

    #: Whether it stops at stop strings; if not, it refuses them.
    supports_stop = True
    #: Whether it samples, each request by its own seed; if not, it refuses to.
    supports_sampling = True

    def test_an_answer_continues_its_prefix_which_is_not_part_of_it(self, subject: Subject) -> None:
        whole = subject.run()
        prefixes = {
            request.id: whole[request.id].tokens[: number % 3] for number, request in enumerate(subject.requests)
        }
        assert any(prefixes.values())
        continued = subject.run(
            request._replace(
                decoder_prefix=prefixes[request.id], max_new_tokens=request.max_new_tokens - len(prefixes[request.id])
            )
            for request in subject.requests
        )
        rest = {
            number: answer._replace(tokens=answer.tokens[len(prefixes[number]) :]) for number, answer in whole.items()
        }
        assert continued == rest

    def test_a_stop_string_ends_the_answer_that_holds_it_and_no_other(self, subject: Subject) -> None:
        whole = subject.run()
        chosen = max(subject.requests, key=lambda request: len(set(whole[request.id].tokens)))
        text = subject.text(whole[chosen.id].tokens)
        stop = text[len(text) // 2 : len(text) // 2 + 6]
        asked = [
            request._replace(stop=("never written", stop) if request is chosen else ()) for request in subject.requests
        ]
        if not self.supports_stop:
            with pytest.raises(EngineError):
                subject.run(asked)
            return
        stopped = subject.run(asked)
        # Up to the token that completes it, or without it, as servers have it: the caller trims.
        assert subject.text(stopped[chosen.id].tokens).partition(stop)[0] == text.partition(stop)[0]
        assert len(stopped[chosen.id].tokens) < len(whole[chosen.id].tokens)
        assert stopped[chosen.id].finish_reason is FinishReason.STOP
        assert stopped | {chosen.id: whole[chosen.id]} == whole

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
