import pytest
import torch

from psp_data import benchmark


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    monkeypatch.setattr(benchmark, "LIKE_MNIST", ((1, 8, 8), 200))
    monkeypatch.setattr(benchmark, "LIKE_CIFAR", ((3, 8, 8), 200))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_benchmark_times_every_stream_and_prints_a_table(capsys):
    timings = benchmark.main(["--random", "--rounds", "1", "--batches", "40"])
    printed = capsys.readouterr().out
    for timing, title in zip(
        timings, ["permuting MNIST", "incremental CIFAR", "rotating MNIST"], strict=True
    ):
        assert timing.contest.title == title
        assert timing.stream > 0
        assert timing.speedup == timing.loader / timing.stream
        assert f"\n{timing}\n" in printed
        for part in (title, f"{timing.stream:.3f} ms", f"{timing.loader:.2f} ms"):
            assert part in str(timing)


def test_a_stream_and_its_data_loader_do_the_same_work():
    mnist = benchmark.random_images("mnist", (1, 8, 8), 200)
    cifar = benchmark.random_images("cifar10", (3, 8, 8), 200)
    permuting, incremental, rotating = benchmark.contests(mnist, cifar)

    def nearest(contest, sample):
        """The item of the DataLoader's set that is most like the sample, and its label."""
        items = [contest.loader.dataset[number] for number in range(200)]
        distances = torch.stack([(item - sample).abs().mean() for item, _ in items])
        return distances.min(), items[distances.argmin()][1]

    # The permuting loader shows task 1, the rotating one an angle of 33°.
    step_of_33_degrees = round(33 / 360 * 1000)
    for contest, step, tolerance in (
        (permuting, 100, 1e-5),
        (incremental, 0, 1e-5),
        # Pillow rounds to whole grey values and does not mix the edge with black; two different
        # random images are 0.67 apart.
        (rotating, step_of_33_degrees, 0.2),
    ):
        samples, labels = contest.stream.train_batch(step)
        for ours, theirs in zip((samples, labels), next(iter(contest.loader)), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        distance, label = nearest(contest, samples[0])
        assert distance < tolerance
        assert label == labels[0]


@pytest.mark.parametrize(
    ("stream", "loader", "good"), [(1.0, 10.0, True), (1.1, 20.0, False), (0.5, 4.9, False)]
)
def test_a_stream_must_be_fast_and_faster_than_the_loader(stream, loader, good):
    contest = benchmark.Contest("any", None, None, most_milliseconds=1.0, least_speedup=10)
    timing = benchmark.Timing(contest, stream, loader)
    assert timing.good == good
    assert ("TOO SLOW" in str(timing)) != good
