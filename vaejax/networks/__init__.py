"""Networks as recipes: hashable, without arrays, with weights as plain nested dicts."""

from vaejax.networks.cells import Cell as Cell
from vaejax.networks.cells import ConvLayer as ConvLayer
from vaejax.networks.combine import Constant as Constant
from vaejax.networks.combine import Parallel as Parallel
from vaejax.networks.combine import Sequential as Sequential
from vaejax.networks.combine import Skip as Skip
from vaejax.networks.combine import bound as bound
from vaejax.networks.combine import in_precision as in_precision
from vaejax.networks.conv import ConvDecoder as ConvDecoder
from vaejax.networks.conv import ConvEncoder as ConvEncoder
from vaejax.networks.dense import MADE as MADE
from vaejax.networks.dense import MLP as MLP
from vaejax.networks.dense import Linear as Linear
from vaejax.networks.dense import ResidualMLP as ResidualMLP
from vaejax.networks.network import FlaxNetwork as FlaxNetwork
from vaejax.networks.network import Network as Network
from vaejax.networks.network import from_functions as from_functions
from vaejax.networks.network import from_nnx as from_nnx
