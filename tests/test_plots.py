"""Figures and the page: their values, their marks, their refusals."""

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import vaejax as vj


def test_plots_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match="images: expected shape"):
        vj.plots.image_grid(np.ones((4, 4)))
    with pytest.raises(ValueError, match="points in the plane"):
        vj.plots.scatter(np.ones((4, 3)))


def test_rows_of_images_are_named_and_planes_have_values():
    named = vj.plots.image_grid(np.zeros((5, 4, 4)), columns=3, row_labels=["first", "second"]).axes[0]
    assert [(at, text.get_text()) for at, text in zip(named.get_yticks(), named.get_yticklabels(), strict=True)] == [
        (1.5, "first"),
        (6.5, "second"),
    ]
    assert not len(named.get_xticks())
    with pytest.raises(ValueError, match="row_labels: expected 2, one for each row, got 1"):
        vj.plots.image_grid(np.zeros((5, 4, 4)), columns=3, row_labels=["first"])
    values = {-1.0: 1.5, -0.5: 4.0, 0.0: 6.5, 0.5: 9.0, 1.0: 11.5}  # at the centres of three images of four pixels
    plane = vj.plots.image_grid(np.zeros((9, 4, 4)), columns=3, extent=(-1, 1, -1, 1)).axes[0]
    panel = vj.plots.panels({"a": np.zeros((9, 4, 4))}, across=3, extents={"a": (-1, 1, -1, 1)}).axes[0]
    for axes in (plane, panel):
        across, up = (side.get_majorticklabels() for side in (axes.xaxis, axes.yaxis))
        assert dict(zip((float(text.get_text()) for text in across), axes.get_xticks(), strict=True)) == values
        assert dict(zip((-float(text.get_text()) for text in up), axes.get_yticks(), strict=True)) == values
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")


def test_figures_show_their_values():
    images = np.linspace(-1, 2, 32).reshape(2, 4, 4)
    figure = vj.plots.image_grid(images, symmetric=True)
    shown = figure.axes[0].images[0]
    assert shown.get_clim() == (-2.0, 2.0)
    np.testing.assert_array_equal(np.asarray(shown.get_array())[:4, :4], images[0])
    colour = vj.plots.image_grid(np.random.default_rng(0).random((3, 4, 4, 3)), columns=2)
    assert colour.axes[0].images[0].get_array().shape == (9, 9, 3)
    lines = vj.plots.curves({"a": [1.0, 2.0], "b": [0.0, 1.0]}, x_label="step", y_label="nats", log_x=True)
    assert [line.get_linestyle() for line in lines.axes[0].lines] == ["-", "--"]
    assert lines.axes[0].get_xlabel() == "step" and list(lines.axes[0].lines[0].get_xdata()) == [1, 2]
    assert figure.axes[1].get_ylabel() == "pixel"
    assert vj.plots.image_grid(images, scale="nats").axes[1].get_ylabel() == "nats"
    series = {"a": ([1, 2], [1, 2]), "b": ([1, 2], [2, 1], [0.1, 0.1])}
    banded = vj.plots.lines(series, x_label="x", y_label="y").axes[0]
    np.testing.assert_array_equal(banded.collections[0].get_facecolor()[0, :3], to_rgb(banded.lines[1].get_color()))
    points = np.random.default_rng(0).normal(size=(6, 2)), np.arange(6) % 2
    both = vj.plots.panels({"a": images, "b": points, "c": (points[0], None)}, columns=2, across=1, limits=(-1, 2))
    assert [axes.get_title() for axes in both.axes[:3]] == ["a", "b", "c"] and not both.axes[3].axison
    assert both.axes[0].images[0].get_array().shape == (9, 4) and both.axes[0].images[0].get_clim() == (-1, 2)
    assert [len(dots.get_offsets()) for axes in both.axes[1:3] for dots in axes.collections] == [3, 3, 6]
    assert not both.axes[1].patches
    far = {"near": points, "far": (10 * np.eye(2), None)}
    for axes in vj.plots.panels(far, prior=True).axes[:2]:
        assert [circle.get_radius() for circle in axes.patches] == [1.0, 2.0]
        assert axes.get_xlim() == axes.get_ylim() == pytest.approx((-10.5, 10.5))
    for covariance in ("full", "diag"):
        model = vj.GMM(2, 2, covariance)
        figure = vj.plots.ellipses(np.zeros((5, 2)), model, model.init(jax.random.key(0)))
        assert len(figure.axes[0].lines) == 6


def test_planes_draw_points_and_densities_with_the_same_axes():
    x = np.random.default_rng(0).normal(size=(50, 2))
    density = lambda x: -0.5 * (x**2).sum(1)
    figure = vj.plots.planes({"a": x, "b": [x, density], "c": density}, columns=2, title="all")
    first, second, third, empty = figure.axes
    assert first.get_xlim() == second.get_xlim() == third.get_xlim() and not empty.axison
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert len(first.collections) == 1 and len(second.collections) == 2
    radii = [np.linalg.norm(path.vertices, axis=1).mean() for path in third.collections[0].get_paths()]
    np.testing.assert_allclose(sorted(radii), [1.0, 2.0], atol=0.02)
    for wrong in ({"a": np.zeros((4, 3))}, {"a": density}):
        with pytest.raises(ValueError, match="panels: expected points in the plane"):
            vj.plots.planes(wrong)


def test_several_sets_share_one_plane_and_a_legend():
    sets = {"rows": np.zeros((4, 2)), "samples": np.ones((3, 2))}
    axes = vj.plots.scatter(sets, names=("a", "b")).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["rows", "samples"]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [4, 3] and axes.get_xlabel() == "a"
    with pytest.raises(ValueError, match="samples: expected points in the plane"):
        vj.plots.scatter(sets | {"samples": np.ones((3, 3))})
