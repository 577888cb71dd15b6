"""Data sets: embedded, MNIST, synthetic, and a user's own files. Each loader returns a `Dataset`."""

from vaejax.data.arrays import from_columns as from_columns
from vaejax.data.dataset import Dataset as Dataset
from vaejax.data.dataset import Split as Split
from vaejax.data.dataset import hold_out as hold_out
from vaejax.data.dataset import share as share
from vaejax.data.dequantize import dequantize as dequantize
from vaejax.data.digits import digits as digits
from vaejax.data.digits import mnist as mnist
from vaejax.data.digits import read_idx as read_idx
from vaejax.data.images import image_dataset as image_dataset
from vaejax.data.readers import from_file as from_file
from vaejax.data.sprites import Sprites as Sprites
from vaejax.data.sprites import sprites as sprites
from vaejax.data.standardize import Scaling as Scaling
from vaejax.data.standardize import standardize as standardize
from vaejax.data.stream import Stream as Stream
from vaejax.data.synthetic import figure_eight as figure_eight
from vaejax.data.synthetic import gaussian_axis as gaussian_axis
from vaejax.data.synthetic import gaussian_mixture as gaussian_mixture
from vaejax.data.synthetic import gaussian_rotated as gaussian_rotated
from vaejax.data.synthetic import manifold as manifold
from vaejax.data.synthetic import ring as ring
from vaejax.data.synthetic import three_blobs as three_blobs
