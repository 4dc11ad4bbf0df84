"""Every way there is: to add one, write its module and name it here."""

from service.predictors.engines.boosters import Boosters, XgboostInPlace
from service.predictors.engines.boosting import Boosting
from service.predictors.engines.direct_steps import DirectSteps
from service.predictors.engines.engine import Recipe, Steps, WholeRecipe
from service.predictors.engines.gtil import Gtil
from service.predictors.engines.linear import Linear
from service.predictors.engines.llvm_forest import LlvmForest, LlvmForestInThreads
from service.predictors.engines.onnx_forest import OnnxForest, OnnxForestInThreads
from service.predictors.engines.onnx_steps import OnnxSteps
from service.predictors.engines.onnx_whole import OnnxWhole
from service.predictors.engines.own_estimator import OwnEstimator
from service.predictors.engines.own_steps import OwnSteps
from service.predictors.engines.trees import Trees, TreesInThreads

STEPS: tuple[Steps, ...] = (DirectSteps(), OnnxSteps(), OwnSteps())
"""The fastest of these that gives the same matrix stands before every recipe."""

RECIPES: tuple[Recipe, ...] = (
    LlvmForest(),
    LlvmForestInThreads(),
    Trees(),
    TreesInThreads(),
    Gtil(),
    OnnxForest(),
    OnnxForestInThreads(),
    Boosting(),
    Linear(),
    Boosters(),
    XgboostInPlace(),
    OwnEstimator(),
)
"""Ways to do what the estimator does."""

WHOLES: tuple[WholeRecipe, ...] = (OnnxWhole(),)
"""Ways to do all of a model."""

FIRST_STEPS: tuple[Steps, ...] = (DirectSteps(), OwnSteps())
FIRST_RECIPES: tuple[Recipe, ...] = (LlvmForest(), Boosting(), Linear(), XgboostInPlace())
"""Of all these, what is ready at once: it is tried before the rest, which takes seconds."""
