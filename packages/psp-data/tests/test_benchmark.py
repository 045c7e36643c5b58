import pytest
import torch

from psp_data import benchmark, load


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    monkeypatch.setattr(benchmark, "MNIST_FORM", ((1, 8, 8), 200))
    monkeypatch.setattr(benchmark, "CIFAR_FORM", ((3, 8, 8), 200))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_benchmark_times_every_stream_and_prints_a_table(capsys):
    timings = benchmark.main(["--random", "--rounds", "1", "--batches", "40"])
    printed = capsys.readouterr().out
    for timing, title in zip(
        timings, ["permuting MNIST", "incremental CIFAR", "rotating MNIST"], strict=True
    ):
        assert timing.comparison.title == title
        assert timing.stream > 0
        assert timing.speedup == timing.loader / timing.stream
        assert f"\n{timing}\n" in printed
        for part in (title, f"{timing.stream:.3f} ms", f"{timing.loader:.2f} ms"):
            assert part in str(timing)


def test_a_stream_and_its_data_loader_do_the_same_work():
    mnist = benchmark.random_images("mnist", (1, 8, 8), 200)
    cifar = benchmark.random_images("cifar10", (3, 8, 8), 200)
    permuting, incremental, rotating = benchmark.comparisons(mnist, cifar)

    def nearest(comparison, sample):
        """Return the distance to the nearest item of the DataLoader, and the label of that item."""
        items = [comparison.loader.dataset[row] for row in range(200)]
        distances = torch.stack([(item - sample).abs().mean() for item, _ in items])
        return distances.min(), items[distances.argmin()][1]

    # The permuting loader shows task 1, the rotating one an angle of 33°.
    step_of_33_degrees = round(33 / 360 * 1000)
    for comparison, step, tolerance in (
        (permuting, 100, 1e-5),
        (incremental, 0, 1e-5),
        # Pillow rounds to whole grey values and does not blend the edge with black. Two different
        # random images have a distance of 0.67.
        (rotating, step_of_33_degrees, 0.2),
    ):
        samples, labels = comparison.stream.train_batch(step)
        for ours, theirs in zip((samples, labels), next(iter(comparison.loader)), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        distance, label = nearest(comparison, samples[0])
        assert distance < tolerance
        assert label == labels[0]


@pytest.mark.parametrize(
    ("stream", "loader", "fast_enough"), [(1.0, 10.0, True), (1.1, 20.0, False), (0.5, 4.9, False)]
)
def test_a_stream_must_be_fast_and_faster_than_the_loader(stream, loader, fast_enough):
    comparison = benchmark.Comparison("any", None, None, max_milliseconds=1.0, min_speedup=10)
    timing = benchmark.Timing(comparison, stream, loader)
    assert timing.fast_enough == fast_enough
    assert ("TOO SLOW" in str(timing)) != fast_enough


@pytest.mark.parametrize("option", ["--rounds=0", "--batches=-1", "--rounds=many"])
def test_impossible_counts_name_their_flag(option, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--random", option])
    assert f"argument {option.split('=')[0]}: " in capsys.readouterr().err


def test_a_folder_without_sets_names_its_flag(capsys, monkeypatch, tmp_path):
    def load_without_network(name, root):
        return load(name, root, download=False)

    monkeypatch.setattr(benchmark, "load", load_without_network)
    with pytest.raises(SystemExit):
        benchmark.main(["--root", str(tmp_path)])
    assert f"--root {tmp_path}: load('mnist'): neither" in capsys.readouterr().err
