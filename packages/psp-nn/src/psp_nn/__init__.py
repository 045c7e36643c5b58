"""Any PyTorch network in superposition: many models in one set of weights."""

from psp_nn._grow import grow as grow
from psp_nn._infer_context import InferBy as InferBy
from psp_nn._infer_context import InferredContext as InferredContext
from psp_nn._infer_context import infer_context as infer_context
from psp_nn._learn_contexts import learn_contexts as learn_contexts
from psp_nn._load import load as load
from psp_nn._name_context import name_context as name_context
from psp_nn._parameter_groups import parameter_groups as parameter_groups
from psp_nn._remove import remove as remove
from psp_nn._report import LayerReport as LayerReport
from psp_nn._report import Report as Report
from psp_nn._report import report as report
from psp_nn._retrieve import retrieve as retrieve
from psp_nn._save import save as save
from psp_nn._store import store as store
from psp_nn._superpose import superpose as superpose
from psp_nn._superpose_models import SuperposedModels as SuperposedModels
from psp_nn._superpose_models import superpose_models as superpose_models
from psp_nn._use_context import use_context as use_context
from psp_nn.layers.norm import Norms as Norms
from psp_nn.layers.registry import register as register
from psp_nn.layers.superposed import Superposed as Superposed
from psp_nn.penalties.ewc import ElasticWeightConsolidation as ElasticWeightConsolidation
from psp_nn.penalties.fisher import fisher_diagonal as fisher_diagonal
from psp_nn.penalties.si import SynapticIntelligence as SynapticIntelligence

__all__ = [
    "ElasticWeightConsolidation",
    "InferBy",
    "InferredContext",
    "LayerReport",
    "Norms",
    "Report",
    "Superposed",
    "SuperposedModels",
    "SynapticIntelligence",
    "fisher_diagonal",
    "grow",
    "infer_context",
    "learn_contexts",
    "load",
    "name_context",
    "parameter_groups",
    "register",
    "remove",
    "report",
    "retrieve",
    "save",
    "store",
    "superpose",
    "superpose_models",
    "use_context",
]
