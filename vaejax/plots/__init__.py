"""Figures of data, mixtures, images and curves, as `matplotlib.figure.Figure`s without pyplot's global state."""

from vaejax.plots.images import image_grid as image_grid
from vaejax.plots.images import panels as panels
from vaejax.plots.plane import ellipses as ellipses
from vaejax.plots.plane import planes as planes
from vaejax.plots.plane import scatter as scatter
from vaejax.plots.series import bars as bars
from vaejax.plots.series import curves as curves
from vaejax.plots.series import lines as lines
