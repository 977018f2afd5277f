"""Pictures of a graph: the neighbourhood of an entity as a PNG, as GraphML, or as one HTML page."""

from roots_kg.viz.graphml import write_graphml
from roots_kg.viz.page import write_html
from roots_kg.viz.picture import write_png
from roots_kg.viz.selection import Neighbourhood, neighbourhood, whole

__all__ = ["Neighbourhood", "neighbourhood", "whole", "write_graphml", "write_html", "write_png"]
