from hx_extractor._extraction import Extraction as Extraction, Weights as Weights
from hx_extractor._hierarchy import Call as Call, Hierarchy as Hierarchy
from hx_extractor._load import load as load, load_transformed as load_transformed
from hx_extractor._numbers import (
    Difference as Difference,
    Validation as Validation,
    compare as compare,
    difference as difference,
    tolerance as tolerance,
)
from hx_extractor._save import check_shareable as check_shareable, save_model as save_model
from hx_extractor._tree import TreeEntry as TreeEntry, TreeReport as TreeReport, shown_calls as shown_calls
from hx_extractor.cut.node import NodePart as NodePart
from hx_extractor.cut.source import Source as Source, recovered_sources as recovered_sources
